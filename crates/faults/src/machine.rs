//! What the faults are made with: disk images, system calls that fail, a clock for one process.
//!
//! Only a scenario's own processes and files are touched: its images are mounted below its folder, and tracing and clocks
//! are for the one server. What a machine does not have is said as [`Missing`], so that the scenario counts as not run.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::Signal;

use crate::history;
use crate::server::Process;

/// Something this machine does not have, so that a scenario cannot run.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// How long a tracer may take to come, and to go.
const TRACER_PATIENCE: Duration = Duration::from_secs(60);

/// Asks for the right to mount and to trace.
pub(crate) fn need_root() -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() { Ok(()) } else { Err(Missing("it needs root".into()).into()) }
}

/// Asks for a program.
pub(crate) fn need(program: &str) -> anyhow::Result<()> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let also = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    if std::env::split_paths(&folders).chain(also).any(|folder| folder.join(program).exists()) {
        return Ok(());
    }
    Err(Missing(format!("there is no `{program}`")).into())
}

/// Runs a program and gives back what it printed.
pub(crate) fn run(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(args)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output()
        .with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        bail!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An ext4 file system in a file of its own, mounted.
#[derive(Debug)]
pub(crate) struct Image {
    file: PathBuf,
    pub(crate) mounted_at: PathBuf,
    mounted: bool,
}

impl Image {
    /// Makes and mounts one of so many MiB. The file is sparse.
    pub(crate) fn make(folder: &Path, mib: u64) -> anyhow::Result<Self> {
        need_root()?;
        ["mkfs.ext4", "e2fsck", "mount", "umount", "losetup"].into_iter().try_for_each(need)?;
        let file = folder.join("disk.ext4");
        let mounted_at = folder.join("disk");
        fs::create_dir_all(&mounted_at)?;
        File::create(&file)?.set_len(mib << 20)?;
        // Everything is laid out now, so that nothing but the server writes later; and no blocks are kept for root.
        let layout = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        run("mkfs.ext4", &["-q", "-m", "0", "-E", layout, text(&file)?])?;
        let mut image = Self { file, mounted_at, mounted: false };
        image.mount().map_err(|error| Missing(format!("an image cannot be mounted: {error:#}")))?;
        Ok(image)
    }

    /// Mounts it. The journal waits as long as it may: what nobody syncs does not get to the disk by itself.
    pub(crate) fn mount(&mut self) -> anyhow::Result<()> {
        let options = "loop,errors=remount-ro,commit=300";
        run("mount", &["-t", "ext4", "-o", options, text(&self.file)?, text(&self.mounted_at)?])?;
        self.mounted = true;
        Ok(())
    }

    pub(crate) fn unmount(&mut self) -> anyhow::Result<()> {
        run("umount", &[text(&self.mounted_at)?])?;
        self.mounted = false;
        Ok(())
    }

    /// Mends what an abort left, as the system does when it starts.
    pub(crate) fn mend(&self) -> anyhow::Result<()> {
        let status = Command::new("e2fsck")
            .args(["-p", "-f"])
            .arg(&self.file)
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        // 1: it was mended.
        if !matches!(status.code(), Some(0 | 1)) {
            bail!("e2fsck could not mend the image: {status}");
        }
        Ok(())
    }

    /// The file system finds itself damaged and becomes read-only, also for files that are open.
    pub(crate) fn abort(&self) -> anyhow::Result<()> {
        run("mount", &["-o", "remount,abort", text(&self.mounted_at)?]).map(drop)
    }

    /// The power fails: whatever did not reach the disk by now is gone. The image as the disk has it takes the place of the
    /// one that is mounted. Nobody may have files open there.
    ///
    /// Gives back whether something was seen to be lost: a file that was written just before, and never synced.
    pub(crate) fn lose_power(&mut self) -> anyhow::Result<bool> {
        // Of a new name each time: an earlier one may be there still.
        let canary = self.mounted_at.join(format!("canary-{}", history::now()));
        fs::write(&canary, [b'?'; 64 << 10])?;
        let left = self.file.with_extension("left");
        run("cp", &["--sparse=always", text(&self.file)?, text(&left)?])?;
        self.unmount()?;
        fs::rename(&left, &self.file)?;
        self.mount()?;
        match fs::read(&canary) {
            Ok(bytes) => Ok(bytes.is_empty()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn free_bytes(&self) -> anyhow::Result<u64> {
        let space = rustix::fs::statvfs(&self.mounted_at)?;
        Ok(space.f_bavail * space.f_frsize)
    }

    /// Leaves so many bytes free, by a file that takes the others.
    pub(crate) fn fill_up_to(&self, free: u64) -> anyhow::Result<()> {
        let ballast = self.ballast()?;
        let mut step = 64 << 20;
        while step >= 1 {
            let (len, over) = (ballast.metadata()?.len(), self.free_bytes()?.saturating_sub(free));
            let take = if free == 0 { step } else { step.min(over) };
            if take == 0 {
                return Ok(());
            }
            match rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), len, take) {
                Ok(()) if free > 0 && self.free_bytes()? <= free => return Ok(()),
                Ok(()) => {}
                Err(rustix::io::Errno::NOSPC) => step /= 4,
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(())
    }

    /// Gives all of that back.
    pub(crate) fn make_room(&self) -> anyhow::Result<()> {
        Ok(self.ballast()?.set_len(0)?)
    }

    fn ballast(&self) -> anyhow::Result<File> {
        let path = self.mounted_at.join("ballast");
        Ok(File::options().create(true).truncate(false).write(true).open(path)?)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.mounted
            && let Ok(place) = text(&self.mounted_at)
        {
            // Whoever still has files there keeps them; the name goes.
            let _ = run("umount", &["-l", place]);
        }
    }
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is text")
}

/// System calls of a running process that are delayed or fail, until [`Tampering::end`].
#[derive(Debug)]
pub(crate) struct Tampering {
    tracer: Process,
    log: PathBuf,
}

impl Tampering {
    /// Lets `calls` (such as `fdatasync,fsync`) of the process go wrong as `how` says (such as `error=EIO`).
    pub(crate) async fn begin(process: u32, calls: &str, how: &str, log: PathBuf) -> anyhow::Result<Self> {
        need("strace")?;
        let said = log.with_extension("said");
        let _ = fs::remove_file(&log);
        let mut command = Command::new("strace");
        command
            .args(["-f", "-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{how}"), "-o"])
            .arg(&log)
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said)?);
        let mut tampering = Self { tracer: Process::start(&mut command)?, log };
        let since = Instant::now();
        loop {
            let words = fs::read_to_string(&said).unwrap_or_default();
            if words.contains("attached") {
                return Ok(tampering);
            }
            if tampering.tracer.ended()?.is_some() {
                return Err(Missing(format!("strace cannot trace here: {}", words.trim())).into());
            }
            if since.elapsed() > TRACER_PATIENCE {
                bail!("strace did not attach");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many calls went wrong so far.
    pub(crate) fn injected(&self) -> usize {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .lines()
            .filter(|line| line.contains("(INJECTED)") || line.contains("(DELAYED)"))
            .count()
    }

    /// Leaves the process alone; how many calls went wrong.
    pub(crate) async fn end(mut self) -> anyhow::Result<usize> {
        self.tracer.signal(Signal::INT)?;
        self.tracer.wait(TRACER_PATIENCE).await?;
        Ok(self.injected())
    }
}

/// A wall clock for one process.
#[derive(Debug)]
pub(crate) struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let missing = || Missing("there is no `libfaketime` (Debian's package faketime)".into());
        let places = fs::read_dir("/usr/lib")?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut libraries = places.map(|place| place.join("faketime/libfaketimeMT.so.1"));
        let library = libraries.find(|library| library.exists()).ok_or_else(missing)?;
        let clock = Self { file: folder.join("clock"), library };
        clock.set(0)?;
        Ok(clock)
    }

    /// What a process needs in its environment to have this clock. The steady clock stays the machine's.
    pub(crate) fn environment(&self) -> anyhow::Result<Vec<(String, String)>> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Ok(vec![
            pair("LD_PRELOAD", text(&self.library)?),
            pair("FAKETIME_TIMESTAMP_FILE", text(&self.file)?),
            pair("FAKETIME_NO_CACHE", "1"),
            pair("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            pair("FAKETIME_DONT_RESET", "1"),
            pair("DONT_FAKE_MONOTONIC", "1"),
        ])
    }

    /// Sets it so many seconds before or after the machine's.
    pub(crate) fn set(&self, seconds: i64) -> anyhow::Result<()> {
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n"))?;
        Ok(fs::rename(next, &self.file)?)
    }
}
