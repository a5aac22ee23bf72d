#compdef recsys
# zsh completion of recsys: eval "$(recsys completion zsh)"
_recsys() {
    local line text tab=$'\t'
    local -a whole whole_told open open_told
    for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}"; do
        text="${line%%$tab*}"
        [[ -n "$text" ]] || continue
        if [[ "$text" == *[=./] ]]; then
            open+=("$text") open_told+=("$text  ${line#*$tab}")
        else
            whole+=("$text") whole_told+=("$text  ${line#*$tab}")
        fi
    done
    (( $#whole )) && compadd -V whole -l -d whole_told -- "${whole[@]}"
    (( $#open )) && compadd -V open -l -d open_told -S '' -- "${open[@]}"
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _recsys recsys
