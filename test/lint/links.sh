#!/usr/bin/env bash
# A link of a Markdown page to another file, or to a heading, leads somewhere.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The anchors of a page, as GitHub makes them: lower case, blanks to hyphens, everything else that is no word left out.
anchors() {
  sed '/^```/,/^```/d' "$1" | grep -E '^#{1,6} ' | sed -E 's/^#+ +//' | tr '[:upper:]' '[:lower:]' |
    sed -E 's/`//g; s/\[([^]]*)\]\([^)]*\)/\1/g; s/[^[:alnum:] _-]//g; s/ /-/g'
}

status=0
while IFS= read -r page; do
  # Blocks and spans of code are no links; lines keep their numbers.
  while IFS=: read -r line target; do
    file=${target%%#*} anchor=
    [[ $target != *#* ]] || anchor=${target#*#}
    to=$page
    [ -z "$file" ] || to=$(dirname "$page")/$file
    if [ ! -e "$to" ]; then
      echo "$page:$line: the link leads nowhere: $target"
      status=1
    elif [ -n "$anchor" ] && ! anchors "$to" | grep -qxF "$anchor"; then
      echo "$page:$line: no such heading: $target"
      status=1
    fi
  done < <(awk '/^ *```/ { code = !code } { print code ? "" : $0 }' "$page" | sed -E 's/`[^`]*`//g' |
    grep -noE '\]\([^) ]+\)' | sed -E 's/\]\(([^)]*)\)/\1/' | grep -vE '^[0-9]+:[a-z]+:')
done < <(files -name '*.md')
exit $status
