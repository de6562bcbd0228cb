# Completion of warren for fish: what may stand next is asked for at that moment.
function __warren_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] complete -- $words[2..-1] 2>/dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path (commandline -ct)
        case folders
            __fish_complete_directories (commandline -ct)
        case commands
            __fish_complete_external_command
        case words
            printf '%s\n' $lines[2..-1]
    end
end
complete -c warren -f -a '(__warren_complete)'
