# fish completion of recsys: recsys completion fish > ~/.config/fish/completions/recsys.fish
function __recsys_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    $words[1] __complete $words[2..-1] "$current" 2>/dev/null
end
complete -c recsys -f -k -a '(__recsys_complete)'
