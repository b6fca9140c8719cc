# What an interactive zsh offers for the line $2 when Tab is pressed, one a line. It loads the completion $1; `tidemark` is on the path.
zmodload zsh/zpty
export TERM=xterm COMPLETION=$1 OFFERED=$(mktemp)
setup=$(mktemp)
cat > $setup <<'END'
PROMPT=
autoload -Uz compinit
compinit -u -D
source $COMPLETION
compadd() {
  local -a hits
  # With -O, -A or -D it only asks what would match.
  if [[ " $@[1,(i)(-|--)] " != *' -'[OAD]' '* ]]; then
    builtin compadd -O hits "$@"
    print -rl -- $hits >> $OFFERED
  fi
  builtin compadd "$@"
}
comppostfuncs=(exit)
END
zpty shell zsh -f -i
zpty -w shell "source $setup"
zpty -w -n shell "$2"$'\t'
# Until it has ended.
while zpty -r shell said; do :; done
grep -v '^$' $OFFERED
rm $setup $OFFERED
