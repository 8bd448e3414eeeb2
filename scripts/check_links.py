#!/usr/bin/env python3
"""Checks that every relative link of the Markdown files leads to a file, and every anchor to a heading.

    check_links.py [ROOT]        exit status 1 names each link that leads nowhere
"""
import re
import sys
from pathlib import Path


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    found, fenced = set(), False
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        if not fenced and (heading := re.match(r"#+ (.*)", line)):
            found.add(re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-"))
    return found


def broken_links(page):
    """The links of a page that lead nowhere."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md")]
    broken = [f"{page.relative_to(root)}: {link}" for page in pages for link in broken_links(page)]
    print("\n".join(broken) or f"every link of {len(pages)} pages leads somewhere")
    sys.exit(bool(broken))


main()
