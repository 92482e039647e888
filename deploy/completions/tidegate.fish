# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tidegate_global_optspecs
    string join \n config= h/help V/version
end

function __fish_tidegate_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_tidegate_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_tidegate_using_subcommand
    set -l cmd (__fish_tidegate_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tidegate -n "__fish_tidegate_needs_command" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_needs_command" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_needs_command" -s V -l version -d 'Print version'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "serve" -d 'Serves until it is stopped, and reloads when the config, a policy or a plugin changes'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "check" -d 'Builds all that `serve` would, and prints every problem with its place; exits 1 if there is one'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "test" -d 'Runs the cases beside the policies; exits 1 if one fails'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "policy" -d 'Creates a new policy, or copies a shipped one'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "plugin" -d 'Creates, builds, inspects or calls a plugin'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "eval" -d 'Runs policies over a request and an answer, and prints each stage; exits 1 if one fails'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "models" -d 'Prints the table of models: limits, prices, retirement and capabilities, and the targets of the config that use it'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "ledger" -d 'Prints the sums of the ledger: requests, tokens and cost. It works while the gateway runs'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "status" -d 'Shows a running gateway: health, generation, targets, last problems, spend today; exits 1 if it is not ready'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "healthcheck" -d 'Asks a running gateway whether it is healthy, for containers without a shell; exits 1 if it is not'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "conform" -d 'Checks any gateway for the Messages API, with a test upstream at its other end; exits 1 if it loses data'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "schema" -d 'Prints the JSON Schema of the config'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "key" -d 'Creates caller keys'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "import" -d 'Writes a config from the file of another gateway'
complete -c tidegate -n "__fish_tidegate_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tidegate -n "__fish_tidegate_using_subcommand serve" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand serve" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand check" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand check" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand test" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand test" -l watch -d 'Runs again whenever a policy or a case changes'
complete -c tidegate -n "__fish_tidegate_using_subcommand test" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and not __fish_seen_subcommand_from new add defs help" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and not __fish_seen_subcommand_from new add defs help" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and not __fish_seen_subcommand_from new add defs help" -f -a "new" -d 'Writes a working policy with passing cases into the folder of policies'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and not __fish_seen_subcommand_from new add defs help" -f -a "add" -d 'Copies a shipped policy with its cases into the folder of policies'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and not __fish_seen_subcommand_from new add defs help" -f -a "defs" -d 'Prints a Rhai definition file, which lets editors complete and explain'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and not __fish_seen_subcommand_from new add defs help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and __fish_seen_subcommand_from new" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and __fish_seen_subcommand_from add" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and __fish_seen_subcommand_from defs" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and __fish_seen_subcommand_from defs" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "new" -d 'Writes a working policy with passing cases into the folder of policies'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "add" -d 'Copies a shipped policy with its cases into the folder of policies'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "defs" -d 'Prints a Rhai definition file, which lets editors complete and explain'
complete -c tidegate -n "__fish_tidegate_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and not __fish_seen_subcommand_from new build inspect call help" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and not __fish_seen_subcommand_from new build inspect call help" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and not __fish_seen_subcommand_from new build inspect call help" -f -a "new" -d 'Creates a project that builds, with a tool and passing tests'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and not __fish_seen_subcommand_from new build inspect call help" -f -a "build" -d 'Compiles a project and writes the component, including its manifest'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and not __fish_seen_subcommand_from new build inspect call help" -f -a "inspect" -d 'Prints the manifest of a plugin and the capabilities that it requests, without running it'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and not __fish_seen_subcommand_from new build inspect call help" -f -a "call" -d 'Runs one call of a tool, or a hook over a request, with the real host; exits 1 if it fails'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and not __fish_seen_subcommand_from new build inspect call help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from new" -l lang -d 'The language of the project' -r -f -a "rust\t'Rust, with the whole SDK'
python\t'Python, by componentize-py'
js\t'JavaScript, by componentize-js'"
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from new" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from build" -l out -d 'The file of the component; if absent, `NAME.wasm` in the project, with the plugin\'s own name' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from build" -l toolchain -d 'For Rust, the only compiler to use: `own`, `rustup` or `debian`' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from build" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from build" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from inspect" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from call" -l options -d 'The fields of the tool\'s declaration other than `type`: a JSON object' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from call" -l plugin-config -d 'The plugin\'s own config, a JSON object; overrides the gateway\'s config for it' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from call" -l grant -d 'A capability to grant: `allow_hosts=a.example,*.b.example`, `allow_models=fast`, `max_kv_bytes=65536`, `publish=true`; may be repeated' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from call" -l hook -d 'Runs a hook over `--request`: `on-request`, `on-upstream-request`, `on-unsupported` or `on-response`' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from call" -l request -d 'The body of a request (for `on-response`, of a message); `-` reads standard input' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from call" -l with -d 'The parameters of the stage: a JSON object' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from call" -l target -d 'The target before an attempt; overrides the defaults: a JSON object such as `{"unsupported": ["top_k"], "strictness": "error"}`' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from call" -l key -d 'The name of the caller\'s key' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from call" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from call" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from help" -f -a "new" -d 'Creates a project that builds, with a tool and passing tests'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from help" -f -a "build" -d 'Compiles a project and writes the component, including its manifest'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Prints the manifest of a plugin and the capabilities that it requests, without running it'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from help" -f -a "call" -d 'Runs one call of a tool, or a hook over a request, with the real host; exits 1 if it fails'
complete -c tidegate -n "__fish_tidegate_using_subcommand plugin; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -l request -d 'The body of a request; `-` reads standard input' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -l header -d 'A header of the request, `name: value`' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -l key -d 'The name of the caller\'s key' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -l tag -d 'A tag of the caller\'s key, `name=value`' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -l with -d 'The parameters of the policies named here: `ctx.with`' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -l target -d 'The target of an attempt, `provider/model`: also runs the hooks before the attempt' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -l response -d 'A message as the answer: also runs the hooks over answers' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -l stream -d 'SSE text as a streamed answer: also runs the hooks over answers' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -l now -d 'The time that policies read, such as `2026-12-24T18:00:00Z`; if absent, the system\'s' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand eval" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand models" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand models" -l json -d 'Prints JSON'
complete -c tidegate -n "__fish_tidegate_using_subcommand models" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand ledger" -l by -d 'The property to group by: `key`, `model`, `target`, `day`, `tag` (each tag with its value) or `tag:NAME`' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand ledger" -l from -d 'The first day, such as 2026-11-01; the oldest if left out' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand ledger" -l to -d 'The last day, which is included; the newest if left out' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand ledger" -l zone -d 'The time zone in which days begin, such as Europe/Berlin' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand ledger" -l format -d 'The format of the output' -r -f -a "table\t'Aligned columns'
csv\t'Comma-separated values'
json\t'One JSON object'"
complete -c tidegate -n "__fish_tidegate_using_subcommand ledger" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand ledger" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tidegate -n "__fish_tidegate_using_subcommand status" -l address -d 'The address of the admin listener, instead of that of the config' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand status" -l zone -d 'The time zone in which today begins, such as Europe/Berlin' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand status" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand status" -l json -d 'Prints JSON'
complete -c tidegate -n "__fish_tidegate_using_subcommand status" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand healthcheck" -l url -d 'The URL to read; without it, `/healthz` of the config\'s admin listener, or `/` of its public one' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand healthcheck" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand healthcheck" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand conform" -l key -d 'A key that the gateway knows; sent as `x-api-key`' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand conform" -l model -d 'A model that the gateway sends to the test upstream' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand conform" -l header -d 'A header for every request; may be repeated' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand conform" -l timeout -d 'The longest time of one check, and of the wait for the gateway' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand conform" -l only -d 'Runs only the checks of this group, or those whose id begins with this' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand conform" -l upstream-listen -d 'The address of the test upstream, which the gateway must use as its provider' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand conform" -l format -d 'The form of the report' -r -f -a "text\t'A table'
json\t'JSON'"
complete -c tidegate -n "__fish_tidegate_using_subcommand conform" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand conform" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tidegate -n "__fish_tidegate_using_subcommand schema" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand schema" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand key; and not __fish_seen_subcommand_from new help" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand key; and not __fish_seen_subcommand_from new help" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand key; and not __fish_seen_subcommand_from new help" -f -a "new" -d 'Creates a key, and prints it once with the entry for the config'
complete -c tidegate -n "__fish_tidegate_using_subcommand key; and not __fish_seen_subcommand_from new help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tidegate -n "__fish_tidegate_using_subcommand key; and __fish_seen_subcommand_from new" -l name -d 'The caller\'s name in the log (at `debug`) and for policies' -r
complete -c tidegate -n "__fish_tidegate_using_subcommand key; and __fish_seen_subcommand_from new" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand key; and __fish_seen_subcommand_from new" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "new" -d 'Creates a key, and prints it once with the entry for the config'
complete -c tidegate -n "__fish_tidegate_using_subcommand key; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and not __fish_seen_subcommand_from litellm help" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and not __fish_seen_subcommand_from litellm help" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and not __fish_seen_subcommand_from litellm help" -f -a "litellm" -d 'Writes a `tidegate.yaml` from the config of a LiteLLM proxy, and prints each part that it could not carry'
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and not __fish_seen_subcommand_from litellm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and __fish_seen_subcommand_from litellm" -l out -d 'The file to write. Prices and limits of models go to a file beside it, `NAME-models.yaml`' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and __fish_seen_subcommand_from litellm" -l format -d 'The form of the report' -r -f -a "text\t''
json\t''"
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and __fish_seen_subcommand_from litellm" -l config -d 'The config file. Paths in it are relative to it' -r -F
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and __fish_seen_subcommand_from litellm" -l force -d 'Overwrites files that exist'
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and __fish_seen_subcommand_from litellm" -s h -l help -d 'Print help'
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and __fish_seen_subcommand_from help" -f -a "litellm" -d 'Writes a `tidegate.yaml` from the config of a LiteLLM proxy, and prints each part that it could not carry'
complete -c tidegate -n "__fish_tidegate_using_subcommand import; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "serve" -d 'Serves until it is stopped, and reloads when the config, a policy or a plugin changes'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "check" -d 'Builds all that `serve` would, and prints every problem with its place; exits 1 if there is one'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "test" -d 'Runs the cases beside the policies; exits 1 if one fails'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "policy" -d 'Creates a new policy, or copies a shipped one'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "plugin" -d 'Creates, builds, inspects or calls a plugin'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "eval" -d 'Runs policies over a request and an answer, and prints each stage; exits 1 if one fails'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "models" -d 'Prints the table of models: limits, prices, retirement and capabilities, and the targets of the config that use it'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "ledger" -d 'Prints the sums of the ledger: requests, tokens and cost. It works while the gateway runs'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "status" -d 'Shows a running gateway: health, generation, targets, last problems, spend today; exits 1 if it is not ready'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "healthcheck" -d 'Asks a running gateway whether it is healthy, for containers without a shell; exits 1 if it is not'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "conform" -d 'Checks any gateway for the Messages API, with a test upstream at its other end; exits 1 if it loses data'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "schema" -d 'Prints the JSON Schema of the config'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "key" -d 'Creates caller keys'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "import" -d 'Writes a config from the file of another gateway'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and not __fish_seen_subcommand_from serve check test policy plugin eval models ledger status healthcheck conform schema key import help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "new" -d 'Writes a working policy with passing cases into the folder of policies'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "add" -d 'Copies a shipped policy with its cases into the folder of policies'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "defs" -d 'Prints a Rhai definition file, which lets editors complete and explain'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and __fish_seen_subcommand_from plugin" -f -a "new" -d 'Creates a project that builds, with a tool and passing tests'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and __fish_seen_subcommand_from plugin" -f -a "build" -d 'Compiles a project and writes the component, including its manifest'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and __fish_seen_subcommand_from plugin" -f -a "inspect" -d 'Prints the manifest of a plugin and the capabilities that it requests, without running it'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and __fish_seen_subcommand_from plugin" -f -a "call" -d 'Runs one call of a tool, or a hook over a request, with the real host; exits 1 if it fails'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and __fish_seen_subcommand_from key" -f -a "new" -d 'Creates a key, and prints it once with the entry for the config'
complete -c tidegate -n "__fish_tidegate_using_subcommand help; and __fish_seen_subcommand_from import" -f -a "litellm" -d 'Writes a `tidegate.yaml` from the config of a LiteLLM proxy, and prints each part that it could not carry'
