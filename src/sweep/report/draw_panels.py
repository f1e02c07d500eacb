"""Vega-Lite specs on standard input → SVG on standard output, with vl-convert.

Run as a program of its own: the JavaScript engine within vl-convert ends the whole process where
it is given too little memory, and keeps about 150 MB otherwise.

Input is a JSON object: `specs`, and `bundle`, true where the JavaScript of Vega is wanted too.
Output is one: `pictures`, an SVG for each spec, and `bundle`, empty where it was not wanted.
"""

from __future__ import annotations

import json
import sys

import vl_convert


def main() -> None:
    asked = json.load(sys.stdin)
    pictures = [vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]) for spec in asked["specs"]]
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;") if asked["bundle"] else ""
    json.dump({"pictures": pictures, "bundle": bundle}, sys.stdout)


if __name__ == "__main__":
    main()
