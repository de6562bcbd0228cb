# Completion of warren for bash: what may stand next is asked for at that moment.
_warren() {
    local kind word rest
    COMPREPLY=()
    {
        read -r kind
        while IFS=$'\t' read -r word rest; do COMPREPLY+=("$word"); done
    } < <("${COMP_WORDS[0]/#\~/$HOME}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    case $kind in
        files) compopt -o default ;;
        folders) compopt -o dirnames ;;
        commands) mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}") ;;
    esac
}
complete -F _warren warren
