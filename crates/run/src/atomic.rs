//! Writes that are complete or absent: a temporary name, fsync, rename, fsync of the parent. It refuses to know
//! what is written.
//!
//! Temporary names are `<name>.tmp-<random>`; the folder that a replacement pushes aside is `<name>.old-<random>`.
//! Both are recognised after a crash by [`sweep`], as are those of version 0.1.0, which end with a process id. What is
//! being written is its owner's alone; it gets the usual permissions with its name. Files that a committed folder's
//! manifest does not list belong to the user: they outlive the folder.

use crate::error::Error;
use crate::manifest::{FileEntry, MANIFEST, Manifest, is_inside, listed};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Random letters and digits at the end of a temporary name: no other program guesses them, and no file of a user's
/// ends like this by chance.
const RANDOM: usize = 20;

/// Makes the folders above a file that a user names. Within a run folder it has no place: the folder of a run that was
/// moved away or deleted must not come back.
///
/// # Errors
/// [`Error::Disk`].
pub fn make_parents(path: &Path) -> Result<(), Error> {
    let parent = parent(path);
    fs::create_dir_all(parent).map_err(Error::disk("create", parent))
}

/// Makes one folder, where it is not there, in one that is.
pub(crate) fn make_inner(folder: &Path) -> Result<(), Error> {
    match fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(Error::disk("create", folder)(e)),
        _ => Ok(()),
    }
}

/// Writes a file so that, whatever happens, `path` holds the old content or the new, never a mixture. Its folder is
/// there already. A link at `path` is replaced, not followed.
///
/// # Errors
/// [`Error::Disk`]; the old content is then intact and no temporary file stays behind.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_file_with(path, |file| file.write_all(bytes).map_err(Error::disk("write", path)))
}

/// The same of what `fill` writes.
///
/// # Errors
/// As [`write_file`], and those of `fill`.
pub fn write_file_with<E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let (temp, mut file) = temporary(path)?;
    let written = fill(&mut file).and_then(|()| {
        finish(&file, path, &temp)?;
        Ok(fs::rename(&temp, path).map_err(Error::disk("rename into place", path))?)
    });
    if written.is_err() {
        // The first failure is the one to report; a leftover is swept when the folder is next opened.
        let _ = fs::remove_file(&temp);
    }
    written?;
    Ok(sync_folder(parent(path))?)
}

/// A folder in the making: it appears under its name, whole and with a [`Manifest`], on [`commit`](Self::commit).
/// Dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct FolderWriter {
    target: PathBuf,
    temp: PathBuf,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Writing,
    Committed,
}

impl FolderWriter {
    /// Begins a folder that will be called `target`, in a folder that is there already.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn create(target: &Path) -> Result<Self, Error> {
        let temp = temporary_folder(target)?;
        Ok(Self { target: target.to_owned(), temp, stage: Stage::Writing })
    }

    /// Adds a file. `name` is relative, with `/` between components.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(name)?;
        fs::write(&path, bytes).map_err(Error::disk("write", &path))
    }

    /// Where a library that writes a whole folder of its own shall put the files, until they get their place.
    pub fn folder(&self) -> &Path {
        &self.temp
    }

    /// Where a library that writes its own files shall put the one called `name`; its parents are made.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn path(&self, name: &str) -> Result<PathBuf, Error> {
        assert!(is_inside(name) && name != MANIFEST, "{name:?} cannot name a file of a committed folder");
        let path = self.temp.join(name);
        let parent = parent(&path);
        fs::create_dir_all(parent).map_err(Error::disk("create", parent))?;
        Ok(path)
    }

    /// Makes the folder durable and gives it its name. Every file that lies in it by now enters the manifest. A
    /// folder that already has the name is replaced, save for files that its manifest does not list: they stay.
    ///
    /// # Errors
    /// [`Error::Disk`]; the target is then as it was.
    pub fn commit(mut self, metadata: serde_json::Value) -> Result<Manifest, Error> {
        let mut manifest = Manifest { files: [].into(), metadata };
        seal_files(&self.temp, "", &mut manifest)?;
        // Last, so that a manifest means that all before it was on disk.
        let path = self.temp.join(MANIFEST);
        let bytes = manifest.to_bytes().map_err(|e| Error::disk("encode", &path)(e.into()))?;
        let file = File::create(&path).map_err(Error::disk("create", &path))?;
        write_synced(file, &path, &bytes)?;
        let usual = usual_of_folder(&self.target)?;
        fs::set_permissions(&self.temp, usual).map_err(Error::disk("write", &self.temp))?;
        sync_folder(&self.temp)?;
        replace(&self.temp, &self.target)?;
        self.stage = Stage::Committed;
        sync_folder(parent(&self.target))?;
        Ok(manifest)
    }
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        if self.stage == Stage::Writing {
            // Nothing to tell anybody here; a leftover is swept when the run folder is next opened.
            let _ = fs::remove_dir_all(&self.temp);
        }
    }
}

/// Removes what interrupted writes left in `folder` and returns the removed paths. Only leftovers of names that `ours`
/// accepts are touched. A folder that a replacement had pushed aside without putting the new one in place gets its
/// name back.
pub(crate) fn sweep(folder: &Path, ours: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, Error> {
    let mut leftovers = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::disk("list", folder))? {
        let path = entry.map_err(Error::disk("list", folder))?.path();
        let Some((target, kind)) = path.file_name().and_then(|n| n.to_str()).and_then(leftover) else {
            continue;
        };
        if !ours(target) {
            continue;
        }
        let target = folder.join(target);
        if kind == "tmp" {
            remove(&path)?;
        } else if target.exists() {
            retire(&path, &target)?;
        } else {
            fs::rename(&path, &target).map_err(Error::disk("restore", &target))?;
        }
        leftovers.push(path);
    }
    leftovers.sort();
    Ok(leftovers)
}

/// Deletes a committed folder so that an interruption leaves a leftover, not half a folder under its name. Files that
/// its manifest does not list stay where they are; without a manifest nothing is deleted. Returns whether the folder
/// is gone.
///
/// # Errors
/// [`Error::Disk`].
pub fn remove_committed(path: &Path) -> Result<bool, Error> {
    let Some(own) = listed(path) else { return Ok(false) };
    if files_beside(path, &own)?.is_empty() {
        let doomed = pushed_aside(path, "tmp")?;
        remove(&doomed)?;
        return Ok(true);
    }
    for name in own.iter().map(String::as_str).filter(|name| *name != MANIFEST).chain([MANIFEST]) {
        remove(&path.join(name))?;
    }
    prune(path)?;
    Ok(false)
}

/// Removes the folder `old`, which `target` has replaced. Files that `old` does not list move to `target`, under
/// another name where theirs is taken.
fn retire(old: &Path, target: &Path) -> Result<(), Error> {
    // Without its own manifest a file counts as replaced when the new one has its name.
    let own = listed(old).or_else(|| listed(target)).unwrap_or_default();
    for name in files_beside(old, &own)? {
        let mut place = target.join(&name);
        let parent = parent(&place).to_owned();
        fs::create_dir_all(&parent).map_err(Error::disk("create", &parent))?;
        while place.symlink_metadata().is_ok() {
            let mut kept = place.file_name().map_or_else(OsString::new, ToOwned::to_owned);
            kept.push(".kept");
            place.set_file_name(kept);
        }
        fs::rename(old.join(&name), &place).map_err(Error::disk("keep", &place))?;
    }
    remove(old)
}

/// Files below `folder`, relative to it, that are not among `own` (names with `/` between components).
fn files_beside(folder: &Path, own: &BTreeSet<String>) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inner) = open.pop() {
        let path = folder.join(&inner);
        for entry in fs::read_dir(&path).map_err(Error::disk("list", &path))? {
            let entry = entry.map_err(Error::disk("list", &path))?;
            let name = inner.join(entry.file_name());
            let components: Option<Vec<&str>> = name.iter().map(|part| part.to_str()).collect();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(name);
            } else if !components.is_some_and(|parts| own.contains(&parts.join("/"))) {
                found.push(name);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Removes the folders below `path`, and `path` itself, that hold nothing.
fn prune(path: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(path).map_err(Error::disk("list", path))? {
        let entry = entry.map_err(Error::disk("list", path))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            prune(&entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::DirectoryNotEmpty => Err(Error::disk("remove", path)(e)),
        _ => Ok(()),
    }
}

/// `a.tmp-12`, of version 0.1.0, and `a.tmp-` with random letters and digits are leftovers of `a`, of the kind `tmp`.
pub(crate) fn leftover(name: &str) -> Option<(&str, &str)> {
    let (rest, end) = name.rsplit_once('-')?;
    let (target, kind) = rest.rsplit_once('.')?;
    let is_process = !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit());
    let is_random = end.len() == RANDOM && end.bytes().all(|b| b.is_ascii_alphanumeric());
    let ours = ["tmp", "old"].contains(&kind) && !target.is_empty() && (is_process || is_random);
    ours.then_some((target, kind))
}

/// A new temporary file for `path`, beside it, which its owner alone may read and write.
pub(crate) fn temporary(path: &Path) -> Result<(PathBuf, File), Error> {
    let prefix = beginning(path, "tmp");
    let made = builder(&prefix, 0o600).tempfile_in(parent(path));
    let kept = made.and_then(|made| made.keep().map_err(|error| error.error));
    let (file, temp) = kept.map_err(Error::disk("create a temporary file for", path))?;
    Ok((temp, file))
}

/// A new temporary folder for `path`, beside it, which its owner alone may enter.
fn temporary_folder(path: &Path) -> Result<PathBuf, Error> {
    let prefix = beginning(path, "tmp");
    let made = builder(&prefix, 0o700).tempdir_in(parent(path));
    Ok(made.map_err(Error::disk("create a temporary folder for", path))?.keep())
}

/// Renames `path` to a temporary name of it, and returns that.
fn pushed_aside(path: &Path, kind: &str) -> Result<PathBuf, Error> {
    let prefix = beginning(path, kind);
    let moved = builder(&prefix, 0o700).make_in(parent(path), |aside| match aside.symlink_metadata() {
        // A rename replaces an empty folder and, for a file, a file: only a free name will do.
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(path, aside),
    });
    let kept = moved.and_then(|moved| moved.keep().map_err(|error| error.error));
    Ok(kept.map_err(Error::disk("rename", path))?.1)
}

/// The permissions that a new file gets in the folder of `path`: by the umask, or by the folder's own default. An empty
/// file shows them, since no call asks for the umask without changing it for all threads.
pub(crate) fn usual_of_file(path: &Path) -> Result<Permissions, Error> {
    let prefix = beginning(path, "tmp");
    let probe = builder(&prefix, 0o666).tempfile_in(parent(path));
    let shown = probe.and_then(|probe| Ok(probe.as_file().metadata()?.permissions()));
    shown.map_err(Error::disk("create a temporary file for", path))
}

/// The same of a new folder.
fn usual_of_folder(path: &Path) -> Result<Permissions, Error> {
    let prefix = beginning(path, "tmp");
    let probe = builder(&prefix, 0o777).tempdir_in(parent(path));
    let shown = probe.and_then(|probe| Ok(probe.path().metadata()?.permissions()));
    shown.map_err(Error::disk("create a temporary folder for", path))
}

/// Makes files and folders of a name that begins like this, each only where nothing has the name.
fn builder(prefix: &OsStr, mode: u32) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).rand_bytes(RANDOM);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode; // there what is made has the rights of its folder
    builder
}

/// How a temporary name of `path` begins.
fn beginning(path: &Path, kind: &str) -> OsString {
    let mut name = path.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(format!(".{kind}-"));
    name
}

pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Hashes and fsyncs every file below `folder`, then the folder itself.
fn seal_files(folder: &Path, prefix: &str, manifest: &mut Manifest) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::disk("list", folder))? {
        let path = entry.map_err(Error::disk("list", folder))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| {
            Error::disk("name in a manifest", &path)(io::Error::other("the file name is not UTF-8"))
        })?;
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            seal_files(&path, &format!("{name}/"), manifest)?;
            sync_folder(&path)?;
        } else {
            // Windows flushes only files that are open for writing.
            let file =
                OpenOptions::new().read(true).write(true).open(&path).map_err(Error::disk("open", &path))?;
            file.sync_all().map_err(Error::disk("fsync", &path))?;
            manifest.files.insert(name, FileEntry::of(&path)?);
        }
    }
    Ok(())
}

/// Opens the filled temporary file of `path` to those who may read a file of that name, and makes it durable.
fn finish(file: &File, path: &Path, temp: &Path) -> Result<(), Error> {
    file.set_permissions(usual_of_file(path)?).map_err(Error::disk("write", temp))?;
    file.sync_all().map_err(Error::disk("fsync", temp))
}

fn write_synced(mut file: File, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    file.write_all(bytes).map_err(Error::disk("write", path))?;
    file.sync_all().map_err(Error::disk("fsync", path))
}

/// Renames a folder over another, which a rename alone cannot do unless the other is empty.
fn replace(temp: &Path, target: &Path) -> Result<(), Error> {
    let rename =
        |from: &Path, to: &Path| fs::rename(from, to).map_err(Error::disk("rename into place", target));
    if !target.exists() {
        return rename(temp, target);
    }
    let old = pushed_aside(target, "old")?;
    // A crash here is mended by `sweep`, a failure at once.
    if let Err(e) = rename(temp, target) {
        rename(&old, target)?;
        return Err(e);
    }
    retire(&old, target)
}

pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    // A link to a folder is a link.
    let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::disk("remove", path)(e)),
        _ => Ok(()),
    }
}

/// A rename is durable once the folder that holds the name is.
pub(crate) fn sync_folder(path: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::disk("fsync", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_temporary_names_are_leftovers() {
        assert_eq!(leftover("step-000010.tmp-42"), Some(("step-000010", "tmp")));
        assert_eq!(leftover("final.old-1"), Some(("final", "old")), "of version 0.1.0");
        assert_eq!(leftover("final.tmp-0aB1cD2eF3gH4iJ5kL6m"), Some(("final", "tmp")));
        let others =
            ["a.tmp-0aB1cD2eF3gH4iJ5kL6", "a.tmp-0aB1cD2eF3gH4iJ5kL6mN", "a.tmp-0aB1cD2eF3 H4iJ5kL6m"];
        let names = ["step-000010", "a.tmp", "a.tmp-", "a.tmp-x", ".tmp-1", "tmp-1", "a.bak-1", "a-1"];
        for name in names.into_iter().chain(others) {
            assert_eq!(leftover(name), None, "{name}");
        }
    }
}
