BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'quickstart');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_system_attributes" VALUES(1,1,'study:metric_names','["eval/accuracy"]');
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'opened_by','"f46809a698a347dcaba81ff29b0e7b34"');
INSERT INTO "study_user_attributes" VALUES(2,1,'run_directory_id','"f46809a698a347dcaba81ff29b0e7b34"');
INSERT INTO "study_user_attributes" VALUES(3,1,'run_directory','"runs/stored"');
INSERT INTO "study_user_attributes" VALUES(4,1,'host','"machine"');
INSERT INTO "study_user_attributes" VALUES(5,1,'experiment','"64d772dd2ac87efe192c3ef385c9ee892291cb01bc95bd326c9dbb3d0cb49831"');
INSERT INTO "study_user_attributes" VALUES(6,1,'title','"Help-desk intents, MiniLM, LoRA"');
INSERT INTO "study_user_attributes" VALUES(7,1,'command','"python -m sweep +experiment=quickstart tracker=none run_dir=runs/stored model.init=random ''model.path=\"\"'' model.config=minilm ''model.shrink={layers: 1, width: 16, heads: 2, vocabulary: 300}'' model.pooling=mean study.n_trials=4 study.space=space.yaml study.compare_by=adapter study.confirm_seeds=2 study.confirm_top=1 study.refit=true dataset.max_train_samples=56 dataset.max_eval_samples=28 dataset.max_test_samples=28 trainer.num_train_epochs=2"');
INSERT INTO "study_user_attributes" VALUES(8,1,'dataset','"conf/dataset/helpdesk"');
INSERT INTO "study_user_attributes" VALUES(9,1,'versions','{"sweep": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.23.0", "peft": "0.21.2", "bitsandbytes": "0.50.2", "accelerate": "1.15.0", "optuna": "5.0.0", "wandb": "0.31.0", "datasets": "5.2.0", "evaluate": "0.4.6", "hydra-core": "1.3.8", "omegaconf": "2.3.1", "scikit-learn": "1.9.1", "numpy": "2.4.6", "tokenizers": "0.23.3", "safetensors": "0.8.0"}');
INSERT INTO "study_user_attributes" VALUES(10,1,'commit','"e6a6d020e080d7904dd720e360c2745f963b2c93"');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_intermediate_values" VALUES(1,1,1,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(2,2,1,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(3,2,2,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(4,2,5,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(5,2,8,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(6,2,16,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(7,1,2,0.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(8,3,1,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(9,3,2,0.0,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(10,1,5,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(11,3,5,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(12,1,8,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(13,3,8,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(14,1,16,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(15,4,1,1.07142857142857136909e-01,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(16,4,2,7.14285714285714246063e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(17,4,5,7.14285714285714246063e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(18,4,8,7.14285714285714246063e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(19,4,16,7.14285714285714246063e-02,'FINITE');
INSERT INTO "trial_intermediate_values" VALUES(20,3,16,3.57142857142857123031e-02,'FINITE');
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'optimizer.learning_rate',1.73001543311807615133e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(2,1,'adapter',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["lora", "head"]}}');
INSERT INTO "trial_params" VALUES(3,2,'optimizer.learning_rate',3.03898462195103247207e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(4,2,'adapter',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["lora", "head"]}}');
INSERT INTO "trial_params" VALUES(5,3,'optimizer.learning_rate',2.02069673930727437827e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(6,3,'adapter',0.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["lora", "head"]}}');
INSERT INTO "trial_params" VALUES(7,4,'optimizer.learning_rate',1.72396775083076526056e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(8,4,'adapter',1.0,'{"name": "CategoricalDistribution", "attributes": {"choices": ["lora", "head"]}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'fixed_params','{"adapter": "lora"}');
INSERT INTO "trial_system_attributes" VALUES(2,2,'fixed_params','{"adapter": "head"}');
INSERT INTO "trial_system_attributes" VALUES(3,3,'fixed_params','{"adapter": "lora"}');
INSERT INTO "trial_system_attributes" VALUES(4,4,'fixed_params','{"adapter": "head"}');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'place','0');
INSERT INTO "trial_user_attributes" VALUES(2,2,'place','1');
INSERT INTO "trial_user_attributes" VALUES(3,2,'outcome','"completed"');
INSERT INTO "trial_user_attributes" VALUES(4,2,'best_epoch','0.14285714285714285');
INSERT INTO "trial_user_attributes" VALUES(5,2,'eval/loss','2.6952749771479536');
INSERT INTO "trial_user_attributes" VALUES(6,2,'eval/accuracy','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(7,2,'eval/f1_macro','0.005305039787798408');
INSERT INTO "trial_user_attributes" VALUES(8,2,'eval/f1_micro','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(9,2,'eval/f1_weighted','0.0024630541871921183');
INSERT INTO "trial_user_attributes" VALUES(10,2,'eval/precision_macro','0.002747252747252747');
INSERT INTO "trial_user_attributes" VALUES(11,2,'eval/precision_micro','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(12,2,'eval/precision_weighted','0.0012755102040816326');
INSERT INTO "trial_user_attributes" VALUES(13,2,'eval/recall_macro','0.07692307692307693');
INSERT INTO "trial_user_attributes" VALUES(14,2,'eval/recall_micro','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(15,2,'eval/recall_weighted','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(16,2,'seconds','0.758');
INSERT INTO "trial_user_attributes" VALUES(17,2,'engine','"frozen"');
INSERT INTO "trial_user_attributes" VALUES(18,3,'place','2');
INSERT INTO "trial_user_attributes" VALUES(19,1,'outcome','"completed"');
INSERT INTO "trial_user_attributes" VALUES(20,1,'best_epoch','0.14285714285714285');
INSERT INTO "trial_user_attributes" VALUES(21,1,'eval/loss','2.6706829412094244');
INSERT INTO "trial_user_attributes" VALUES(22,1,'eval/accuracy','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(23,1,'eval/f1_macro','0.00510204081632653');
INSERT INTO "trial_user_attributes" VALUES(24,1,'eval/f1_micro','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(25,1,'eval/f1_weighted','0.002551020408163265');
INSERT INTO "trial_user_attributes" VALUES(26,1,'eval/precision_macro','0.0026455026455026454');
INSERT INTO "trial_user_attributes" VALUES(27,1,'eval/precision_micro','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(28,1,'eval/precision_weighted','0.0013227513227513227');
INSERT INTO "trial_user_attributes" VALUES(29,1,'eval/recall_macro','0.07142857142857142');
INSERT INTO "trial_user_attributes" VALUES(30,1,'eval/recall_micro','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(31,1,'eval/recall_weighted','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(32,1,'seconds','1.373');
INSERT INTO "trial_user_attributes" VALUES(33,1,'engine','"packed"');
INSERT INTO "trial_user_attributes" VALUES(34,4,'place','3');
INSERT INTO "trial_user_attributes" VALUES(35,4,'outcome','"completed"');
INSERT INTO "trial_user_attributes" VALUES(36,4,'best_epoch','0.14285714285714285');
INSERT INTO "trial_user_attributes" VALUES(37,4,'eval/loss','2.646938625357809');
INSERT INTO "trial_user_attributes" VALUES(38,4,'eval/accuracy','0.10714285714285714');
INSERT INTO "trial_user_attributes" VALUES(39,4,'eval/f1_macro','0.04175824175824176');
INSERT INTO "trial_user_attributes" VALUES(40,4,'eval/f1_micro','0.10714285714285714');
INSERT INTO "trial_user_attributes" VALUES(41,4,'eval/f1_weighted','0.05306122448979592');
INSERT INTO "trial_user_attributes" VALUES(42,4,'eval/precision_macro','0.04437869822485207');
INSERT INTO "trial_user_attributes" VALUES(43,4,'eval/precision_micro','0.10714285714285714');
INSERT INTO "trial_user_attributes" VALUES(44,4,'eval/precision_weighted','0.059065934065934064');
INSERT INTO "trial_user_attributes" VALUES(45,4,'eval/recall_macro','0.10256410256410256');
INSERT INTO "trial_user_attributes" VALUES(46,4,'eval/recall_micro','0.10714285714285714');
INSERT INTO "trial_user_attributes" VALUES(47,4,'eval/recall_weighted','0.10714285714285714');
INSERT INTO "trial_user_attributes" VALUES(48,4,'seconds','0.568');
INSERT INTO "trial_user_attributes" VALUES(49,4,'engine','"frozen"');
INSERT INTO "trial_user_attributes" VALUES(50,3,'outcome','"completed"');
INSERT INTO "trial_user_attributes" VALUES(51,3,'best_epoch','0.14285714285714285');
INSERT INTO "trial_user_attributes" VALUES(52,3,'eval/loss','2.6764403095584752');
INSERT INTO "trial_user_attributes" VALUES(53,3,'eval/accuracy','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(54,3,'eval/f1_macro','0.00510204081632653');
INSERT INTO "trial_user_attributes" VALUES(55,3,'eval/f1_micro','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(56,3,'eval/f1_weighted','0.002551020408163265');
INSERT INTO "trial_user_attributes" VALUES(57,3,'eval/precision_macro','0.0026455026455026454');
INSERT INTO "trial_user_attributes" VALUES(58,3,'eval/precision_micro','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(59,3,'eval/precision_weighted','0.0013227513227513227');
INSERT INTO "trial_user_attributes" VALUES(60,3,'eval/recall_macro','0.07142857142857142');
INSERT INTO "trial_user_attributes" VALUES(61,3,'eval/recall_micro','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(62,3,'eval/recall_weighted','0.03571428571428571');
INSERT INTO "trial_user_attributes" VALUES(63,3,'seconds','1.144');
INSERT INTO "trial_user_attributes" VALUES(64,3,'engine','"packed"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,2,0,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_values" VALUES(2,1,0,3.57142857142857123031e-02,'FINITE');
INSERT INTO "trial_values" VALUES(3,4,0,1.07142857142857136909e-01,'FINITE');
INSERT INTO "trial_values" VALUES(4,3,0,3.57142857142857123031e-02,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'COMPLETE','2026-11-27 11:42:10.318951','2026-11-27 11:42:15.604069');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-27 11:42:11.198081','2026-11-27 11:42:13.389093');
INSERT INTO "trials" VALUES(3,2,1,'COMPLETE','2026-11-27 11:42:13.500523','2026-11-27 11:42:16.840870');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-27 11:42:15.705730','2026-11-27 11:42:16.548786');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
