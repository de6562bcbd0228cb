#compdef warren
# Completion of warren for zsh: what may stand next is asked for at that moment.
_warren() {
    local -a lines described
    local line
    lines=("${(@f)$(${~words[1]} complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    case $lines[1] in
        files) _files ;;
        folders) _files -/ ;;
        commands) _command_names -e ;;
        words)
            for line in "${(@)lines[2,-1]}"; do
                described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
            done
            _describe warren described
            ;;
    esac
}
if [[ $funcstack[1] == _warren ]]; then _warren "$@"; else compdef _warren warren; fi
