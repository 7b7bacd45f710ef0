//! Writes that are complete or absent: a temporary name, fsync, rename, fsync of the parent. It refuses to know
//! what is written.
//!
//! Temporary names are `<name>.tmp-<pid>`; the folder that a replacement pushes aside is `<name>.old-<pid>`. Both
//! are recognised after a crash by [`sweep`]. A name that is taken is left alone and another one is used. Files that
//! a committed folder's manifest does not list belong to the user: they outlive the folder.

use crate::error::Error;
use crate::manifest::{FileEntry, MANIFEST, Manifest, is_inside, listed};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a file so that, whatever happens, `path` holds the old content or the new, never a mixture. Parent
/// folders are made.
///
/// # Errors
/// [`Error::Disk`]; the old content is then intact and no temporary file stays behind.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let parent = parent(path);
    fs::create_dir_all(parent).map_err(Error::disk("create", parent))?;
    let (temp, file) = temporary(path)?;
    let written = write_synced(file, &temp, bytes)
        .and_then(|()| fs::rename(&temp, path).map_err(Error::disk("rename into place", path)));
    if written.is_err() {
        // The first failure is the one to report; a leftover is swept when the folder is next opened.
        let _ = fs::remove_file(&temp);
    }
    written?;
    sync_folder(parent)
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
    /// Begins a folder that will be called `target`; parents are made.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn create(target: &Path) -> Result<Self, Error> {
        let parent = parent(target);
        fs::create_dir_all(parent).map_err(Error::disk("create", parent))?;
        let (temp, ()) = free_name(target, "tmp", |temp| fs::create_dir(temp))?;
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
pub(crate) fn remove_committed(path: &Path) -> Result<bool, Error> {
    let Some(own) = listed(path) else { return Ok(false) };
    if files_beside(path, &own)?.is_empty() {
        let (doomed, ()) = free_name(path, "tmp", |doomed| fs::rename(path, doomed))?;
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

/// `a.tmp-12` is a leftover of `a`, of the kind `tmp`.
pub(crate) fn leftover(name: &str) -> Option<(&str, &str)> {
    let (rest, pid) = name.rsplit_once('-')?;
    let (target, kind) = rest.rsplit_once('.')?;
    let ours = ["tmp", "old"].contains(&kind)
        && !target.is_empty()
        && !pid.is_empty()
        && pid.bytes().all(|b| b.is_ascii_digit());
    ours.then_some((target, kind))
}

/// A new temporary file for `path`, beside it.
pub(crate) fn temporary(path: &Path) -> Result<(PathBuf, File), Error> {
    free_name(path, "tmp", |temp| OpenOptions::new().write(true).create_new(true).open(temp))
}

/// Makes something under a temporary name of `path` that is free. Process ids come again, in containers even every
/// time, so a name that is taken says nothing about who took it.
fn free_name<T>(
    path: &Path,
    kind: &str,
    make: impl Fn(&Path) -> io::Result<T>,
) -> Result<(PathBuf, T), Error> {
    /// Names that are tried.
    const TRIES: u32 = 1000;
    let mut tried = 0;
    loop {
        let mut name = path.file_name().map_or_else(OsString::new, ToOwned::to_owned);
        name.push(format!(".{kind}-{}", std::process::id()));
        if tried > 0 {
            name.push(format!("{tried:03}"));
        }
        let temp = path.with_file_name(name);
        // A rename replaces an empty folder and, for a file, a file: only a free name will do.
        let made = match temp.symlink_metadata() {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => make(&temp),
        };
        match made {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tried < TRIES => tried += 1,
            Err(e) => return Err(Error::disk("create", &temp)(e)),
            Ok(made) => return Ok((temp, made)),
        }
    }
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
    let (old, ()) = free_name(target, "old", |old| fs::rename(target, old))?;
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
        assert_eq!(leftover("final.old-1"), Some(("final", "old")));
        for name in ["step-000010", "a.tmp", "a.tmp-", "a.tmp-x", ".tmp-1", "tmp-1", "a.bak-1", "a-1"] {
            assert_eq!(leftover(name), None, "{name}");
        }
    }
}
