//! A program in the background.
//!
//! It is known by a file with its process id, so that it can outlive whoever
//! started it and be ended by somebody else.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::error::{RegtestError, Result};

/// The name of the file with the process id, in the folder of its program.
pub(crate) const PID: &str = "pid";
const OUTPUT: &str = "output.log";

/// Lines of output that an error shows.
const LAST_WORDS: usize = 12;

/// How long a program may take to end in order.
const GOODBYE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    /// Named by an argument of the program, which tells it from a stranger
    /// who got its number later.
    folder: PathBuf,
    /// Set if this process is its parent, who has to be told of its end.
    child: Mutex<Option<Child>>,
}

impl Process {
    /// The program of this name in a folder of its own, whether it runs or not.
    pub(crate) fn at(name: &str, folder: &Path) -> Process {
        Process {
            name: name.to_owned(),
            folder: folder.to_owned(),
            child: Mutex::new(None),
        }
    }

    /// Starts the program with its output in a file and nothing to read.
    pub(crate) fn start(&self, program: &Path, arguments: &[String]) -> Result<()> {
        let failed = RegtestError::system(format!("start {}", self.name));
        fs::create_dir_all(&self.folder).map_err(&failed)?;
        let output = File::options().create(true).append(true).open(self.log());
        let output = output.map_err(&failed)?;
        let errors = output.try_clone().map_err(&failed)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        // In a group of its own an interrupt at the terminal does not reach it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdout(output).stderr(errors).spawn();
        let child = child.map_err(&failed)?;
        fs::write(self.pid_file(), child.id().to_string()).map_err(&failed)?;
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    pub(crate) fn must_run(&self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        Err(RegtestError::Died {
            name: self.name.clone(),
            log: self.log(),
            tail: last_lines(&self.log()),
        })
    }

    /// Ends it in order; one that does not end is killed.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.signal(Signal::TERM)?;
        // A frozen program hears of the end only when it goes on.
        self.signal(Signal::CONT)?;
        if !self.ends_within(GOODBYE).await {
            return self.kill().await;
        }
        self.is_gone()
    }

    /// Ends it as a power cut does.
    pub(crate) async fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        if self.ends_within(GOODBYE).await {
            return self.is_gone();
        }
        Err(RegtestError::TooSlow {
            what: format!("the end of {}", self.name),
            seconds: GOODBYE.as_secs(),
            last: "killed, and still there".to_owned(),
        })
    }

    /// Sends a signal; nothing happens if the program does not run.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.pid() else {
            return Ok(());
        };
        match kill_process(pid, signal) {
            // It ended between the look and the signal.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(why) => Err(RegtestError::System {
                what: format!("send a signal to {}", self.name),
                source: why.into(),
            }),
        }
    }

    /// Holds it still; once this returns it says nothing any more.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let start = Instant::now();
        while self.pid().is_some_and(has_a_thread_that_runs) {
            if start.elapsed() >= GOODBYE {
                return Err(RegtestError::TooSlow {
                    what: format!("{} to stand still", self.name),
                    seconds: GOODBYE.as_secs(),
                    last: "a thread runs on".into(),
                });
            }
            thread::yield_now();
        }
        Ok(())
    }

    /// The file with its output.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join(OUTPUT)
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join(PID)
    }

    async fn ends_within(&self, time: Duration) -> bool {
        let start = Instant::now();
        while self.is_running() {
            if start.elapsed() >= time {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }

    fn is_gone(&self) -> Result<()> {
        match fs::remove_file(self.pid_file()) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                Err(RegtestError::system("remove a pid file")(why))
            }
            _ => Ok(()),
        }
    }

    /// The number of the running program.
    fn pid(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(self.pid_file()).ok()?.parse().ok()?;
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = match child.as_mut() {
            Some(child) => child.try_wait().is_ok_and(|end| end.is_none()),
            None => runs_with(pid, &self.folder.to_string_lossy()),
        };
        if runs { Pid::from_raw(pid) } else { None }
    }
}

/// A signal only asks to stop, and each thread does when it comes to it. Where
/// the system does not show threads, they count as stopped.
fn has_a_thread_that_runs(pid: Pid) -> bool {
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    let threads = fs::read_dir(tasks).into_iter().flatten().flatten();
    threads
        .map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default())
        .any(|stat| {
            // The state stands behind the name, which may hold anything.
            let state = stat.rsplit_once(") ").map(|(_, state)| state);
            state.is_some_and(|state| !state.starts_with(['T', 'Z', 'X']))
        })
}

/// Whether this process runs and was started with this among its arguments.
fn runs_with(pid: i32, argument: &str) -> bool {
    let arguments = if Path::new("/proc/self/cmdline").exists() {
        fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
    } else {
        let ps = Command::new("ps")
            .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
            .output();
        ps.map(|ps| ps.stdout).unwrap_or_default()
    };
    String::from_utf8_lossy(&arguments).contains(argument)
}

/// The end of a file, for people who look for the reason.
pub(crate) fn last_lines(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let skip = lines.len().saturating_sub(LAST_WORDS);
    lines.get(skip..).unwrap_or_default().join("\n")
}
