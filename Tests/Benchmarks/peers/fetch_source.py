"""Downloads the newest source archive of a PyPI package: fetch_source.py PACKAGE FILE."""

import json
import sys
import urllib.parse
import urllib.request

page = f"https://pypi.org/pypi/{sys.argv[1]}/json"
with urllib.request.urlopen(page, timeout=60) as answer:
    files = json.load(answer)["urls"]
source = next(file["url"] for file in files if file["packagetype"] == "sdist")
# A mirror's addresses may be relative to its page.
urllib.request.urlretrieve(urllib.parse.urljoin(page, source), sys.argv[2])
