//! The `localnet` program: one live network, served until it is told to end.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{LiveConfig, LocalNet, StartError};

mod arguments;
mod report;

use arguments::Arguments;

/// Port that local tools look for a network at.
const DEFAULT_PORT: u16 = 4943;
/// Exit code of a program that an interrupt ended: 128 and the number of the signal.
const INTERRUPTED: u8 = 130;
/// How often the time without requests is looked at.
const IDLE_CHECK: Duration = Duration::from_millis(100);

/// Why the program fails.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the network ended, but its last state was not saved: {0}")]
    End(#[from] crate::EndError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    #[error("cannot print: {0}")]
    Output(io::Error),
}

/// Runs the program with the arguments of the process. Usage errors end it with code 2, others with 1.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match serve(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("localnet: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What ends the program.
enum End {
    /// A signal, or no request for as long as was said.
    Asked,
    /// A second signal while it was ending.
    AtOnce,
}

fn serve(arguments: Arguments) -> Result<ExitCode, CommandError> {
    // Two programs that are started with the same port file need one server only: the first one.
    let port_file = match &arguments.port_file {
        None => None,
        Some(path) => match PortFile::claim(path)? {
            Some(file) => Some(file),
            None => return Ok(ExitCode::SUCCESS),
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(CommandError::Signals)?;
    // From here on signals end the network, also while it is read.
    let mut signals = {
        let _entered = runtime.enter();
        Signals::new().map_err(CommandError::Signals)?
    };
    if let Some(path) = &arguments.state_dir {
        eprintln!("localnet: state directory {}", path.display());
    }
    let begin = Instant::now();
    let server = start(&arguments)?;
    eprintln!("localnet: ready after {} ms", begin.elapsed().as_millis());
    report::print(&server, &arguments, &mut io::stdout().lock()).map_err(CommandError::Output)?;
    if let Some(file) = &port_file {
        file.write(server.address().port())?;
    }

    runtime.block_on(async {
        match arguments.ttl.map(Duration::from_secs) {
            None => signals.next().await,
            Some(patience) => tokio::select! {
                () = signals.next() => {}
                () = idle_for(&server, patience) => eprintln!("localnet: no request for {} s", patience.as_secs()),
            },
        }
    });
    eprintln!("localnet: ending");
    drop(port_file);
    let begin = Instant::now();
    let ending = runtime.spawn_blocking(move || server.end());
    let end = runtime.block_on(async {
        tokio::select! {
            ended = ending => {
                let ended = ended.unwrap_or(Ok(()));
                ended.map(|()| End::Asked)
            }
            () = signals.next() => Ok(End::AtOnce),
        }
    })?;
    match end {
        End::Asked => {
            eprintln!("localnet: ended after {} ms", begin.elapsed().as_millis());
            Ok(ExitCode::SUCCESS)
        }
        End::AtOnce => {
            eprintln!("localnet: ended at once; the state is as it was saved before");
            // Without waiting for the threads.
            std::process::exit(INTERRUPTED.into())
        }
    }
}

/// Starts the server at the port asked for or, if none was, at the default port if it is free.
fn start(arguments: &Arguments) -> Result<LocalNet, StartError> {
    let live = LiveConfig {
        subnets: arguments.subnets.clone(),
        state_dir: arguments.state_dir.clone(),
        save_interval: Some(Duration::from_secs(arguments.save_every.into())),
    };
    let at = |port: u16| LocalNet::builder().address(SocketAddr::new(arguments.bind, port)).live(live.clone()).start();
    match arguments.port {
        Some(port) => at(port),
        None => match at(DEFAULT_PORT) {
            Err(StartError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
                eprintln!("localnet: port {DEFAULT_PORT} is in use, another one is taken");
                at(0)
            }
            started => started,
        },
    }
}

/// Waits until there was no request for so long.
async fn idle_for(server: &LocalNet, patience: Duration) {
    while server.idle() < patience {
        tokio::time::sleep(IDLE_CHECK.min(patience)).await;
    }
}

/// The signals that end the program.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The file that tells other programs the port. It is gone with the value.
struct PortFile(PathBuf);

impl PortFile {
    /// Makes the file; nothing when it is there already.
    fn claim(path: &Path) -> Result<Option<Self>, CommandError> {
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(_) => Ok(Some(Self(path.to_owned()))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(source) => Err(CommandError::File { path: path.to_owned(), source }),
        }
    }

    /// Writes the port and a line end, by which readers know that it is complete.
    fn write(&self, port: u16) -> Result<(), CommandError> {
        let write = || OpenOptions::new().write(true).open(&self.0)?.write_all(format!("{port}\n").as_bytes());
        write().map_err(|source| CommandError::File { path: self.0.clone(), source })
    }
}

impl Drop for PortFile {
    fn drop(&mut self) {
        // Whoever finds it notices that nobody listens.
        let _ = std::fs::remove_file(&self.0);
    }
}
