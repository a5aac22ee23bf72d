# bash completion of recsys: eval "$(recsys completion bash)"
_recsys_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" current head part candidate
    local -a words
    read -ra words <<<"$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]} - 1]}"

    # Readline replaces only what follows the last "=" or ":" of the word if these break words.
    head=""
    for part in "=" ":"; do
        if [[ "$COMP_WORDBREAKS" == *"$part"* && "$current" == *"$part"* ]]; then
            candidate="${current%"${current##*"$part"}"}"
            ((${#candidate} > ${#head})) && head="$candidate"
        fi
    done

    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        case "$candidate" in
            *= | *. | */) ;;              # to be continued
            *) candidate="$candidate " ;; # a whole word
        esac
        COMPREPLY+=("${candidate#"$head"}")
    done < <("$1" __complete "${words[@]:1}" 2>/dev/null)
}
# Runs come newest first; bash before 4.4 knows no nosort.
complete -o nospace -o nosort -F _recsys_complete recsys 2>/dev/null || complete -o nospace -F _recsys_complete recsys
