//! The command line: one variant per command, one file each.
mod admin_client;
pub mod check;
pub mod conform;
mod eval;
mod eval_show;
mod healthcheck;
mod import;
mod key;
mod ledger;
mod models;
mod plugin;
mod plugin_build;
mod plugin_call;
mod plugin_files;
mod plugin_host;
mod plugin_inspect;
mod plugin_new;
mod policy;
mod rerun;
mod schema;
mod serve;
mod show;
mod status;
pub mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::policy::script::STACK_BYTES;

/// A programmable gateway for the Anthropic Messages API.
#[derive(Parser)]
#[command(name = "tidegate", version)]
struct Cli {
    /// The config file. Paths in it are relative to it.
    #[arg(long, global = true, value_name = "FILE", default_value = models::DEFAULT)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until it is stopped, and reloads when the config, a policy or a plugin changes.
    Serve,
    /// Builds all that `serve` would, and prints every problem with its place; exits 1 if there is one.
    Check,
    /// Runs the cases beside the policies; exits 1 if one fails.
    Test {
        /// Folders of policies; if none is given, the config's own folder and its `library`.
        dirs: Vec<PathBuf>,
        /// Runs again whenever a policy or a case changes.
        #[arg(long)]
        watch: bool,
    },
    /// Creates a new policy, or copies a shipped one.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Creates, builds, inspects or calls a plugin.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Runs policies over a request and an answer, and prints each stage; exits 1 if one fails.
    Eval(Box<eval::Trial>),
    /// Prints the table of models: limits, prices, retirement and capabilities, and the targets of the config that use it.
    Models {
        /// The models to print, with `*` for any text (`claude-*`), or one name in any spelling.
        pattern: Option<String>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the sums of the ledger: requests, tokens and cost. It works while the gateway runs.
    Ledger(ledger::Query),
    /// Shows a running gateway: health, generation, targets, last problems, spend today; exits 1 if it is not ready.
    Status(status::Query),
    /// Asks a running gateway whether it is healthy, for containers without a shell; exits 1 if it is not.
    Healthcheck(healthcheck::Check),
    /// Checks any gateway for the Messages API, with a test upstream at its other end; exits 1 if it loses data.
    Conform(Box<conform::Trial>),
    /// Prints the JSON Schema of the config.
    Schema,
    /// Creates caller keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Writes a config from the file of another gateway.
    #[command(subcommand)]
    Import(import::ImportCommand),
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Writes a working policy with passing cases into the folder of policies.
    New {
        /// The policy's name: the file is `NAME.rhai`.
        name: String,
    },
    /// Copies a shipped policy with its cases into the folder of policies.
    Add {
        /// The policy's name; if absent, lists all.
        name: Option<String>,
    },
    /// Prints a Rhai definition file, which lets editors complete and explain.
    Defs,
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Creates a key, and prints it once with the entry for the config.
    New {
        /// The caller's name in the log (at `debug`) and for policies.
        #[arg(long, default_value = "my-key")]
        name: String,
    },
}

/// Returns the definition of the command line, from which the manual and the completions of shells are made.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Runs the command in the arguments of the process.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // several commands run scripts
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(|| command(cli));
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // the panic is already reported
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(e) => {
            anstream::eprintln!("cannot start a thread with a stack of {STACK_BYTES} bytes: {e}");
            ExitCode::FAILURE
        }
    }
}

fn command(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Serve => serve::run(&cli.config),
        Command::Check => check::run(&cli.config),
        Command::Test { dirs, watch } => {
            let when = if watch { test::When::Always } else { test::When::Once };
            test::command(&cli.config, &dirs, when)
        }
        Command::Policy(PolicyCommand::New { name }) => policy::new(&cli.config, &name),
        Command::Policy(PolicyCommand::Add { name }) => policy::add(&cli.config, name.as_deref()),
        Command::Policy(PolicyCommand::Defs) => policy::defs(),
        Command::Plugin(command) => command.run(&cli.config),
        Command::Eval(trial) => eval::run(&cli.config, &trial),
        Command::Models { pattern, json } => {
            let form = if json { models::Form::Json } else { models::Form::Text };
            models::run(&cli.config, pattern.as_deref(), form)
        }
        Command::Ledger(query) => ledger::run(&cli.config, &query),
        Command::Status(query) => status::run(&cli.config, &query),
        Command::Healthcheck(check) => healthcheck::run(&cli.config, &check),
        Command::Conform(trial) => conform::run(&trial),
        Command::Schema => schema::run(),
        Command::Key(KeyCommand::New { name }) => key::new(&name),
        Command::Import(command) => command.run(),
    }
}
