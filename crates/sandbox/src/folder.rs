//! How much a job has written, where its folder is one of the system's: no file system of its own limits it there.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Files and folders of a job, as many as its own file system would have.
pub(super) const FILES: u64 = 16 << 10;

/// What files take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// On the disk.
    pub(super) bytes: u64,
    /// And folders.
    pub(super) files: u64,
}

/// Whether all below `folder`, with what is counted already, is within `most`. What cannot be looked into is not.
pub(super) fn is_within(folder: &Path, counted: Size, most: Size) -> bool {
    let mut size = counted;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(_) => return false,
        };
        for entry in entries {
            let Ok(entry) = entry else { return false };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(_) => return false,
            };
            size = Size { bytes: size.bytes + metadata.blocks() * 512, files: size.files + 1 };
            if size.bytes > most.bytes || size.files > most.files {
                return false;
            }
            if metadata.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    size.bytes <= most.bytes && size.files <= most.files
}

/// Makes a job's folder one that can be removed: no folder in it is deeper than two names, and all can be entered. To
/// remove one as deep as a program likes takes as many of the caller's descriptors.
pub(super) fn flatten(folder: &Path) {
    let folders = |of: &Path| -> Vec<_> {
        let _ = fs::set_permissions(of, fs::Permissions::from_mode(0o700));
        let entries = fs::read_dir(of).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.map(|entry| entry.path()).collect()
    };
    let mut number = 0_u64;
    let mut left = folders(folder);
    while let Some(above) = left.pop() {
        for below in folders(&above) {
            // To be moved it has to be writable itself.
            let _ = fs::set_permissions(&below, fs::Permissions::from_mode(0o700));
            // A name that the program has taken is passed over.
            let is_taken = |kind| {
                use ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
                matches!(kind, AlreadyExists | DirectoryNotEmpty | NotADirectory)
            };
            loop {
                let moved = folder.join(format!("ruminate-{number}"));
                number += 1;
                match fs::rename(&below, &moved) {
                    Ok(()) => left.push(moved),
                    Err(error) if is_taken(error.kind()) => continue,
                    Err(_) => {}
                }
                break;
            }
        }
    }
}

/// A file that is open and has no name any more: device and number, and bytes on the disk.
pub(super) fn unlinked(descriptor: &Path) -> Option<((u64, u64), u64)> {
    let metadata = fs::metadata(descriptor).ok()?;
    let is_unlinked = metadata.is_file() && metadata.nlink() == 0;
    is_unlinked.then(|| ((metadata.dev(), metadata.ino()), metadata.blocks() * 512))
}

/// Files of `folder` without a name that are open as memory only, from `/proc/PID/maps`, with what is mapped of them.
pub(super) fn unlinked_in_memory(folder: &Path, maps: &Path) -> BTreeMap<(u64, u64), u64> {
    let text = fs::read(maps).unwrap_or_default();
    let mut files = BTreeMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        if let Some((file, bytes)) = mapped(&folder.to_string_lossy(), line) {
            let most: &mut u64 = files.entry(file).or_default();
            *most = bytes.max(*most);
        }
    }
    files
}

/// `START-END PERMISSIONS OFFSET MAJOR:MINOR INODE PATH (deleted)`, numbers but the inode's in base 16.
fn mapped(folder: &str, line: &str) -> Option<((u64, u64), u64)> {
    let path = line.get(line.find('/')?..)?.strip_suffix(" (deleted)")?;
    let below = path.strip_prefix(folder)?;
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let offset = number(fields.nth(1)?)?;
    let (major, minor) = fields.next()?.split_once(':')?;
    let inode = fields.next()?.parse().ok()?;
    // As the kernel makes one number of them, so that a file that is open, too, counts once.
    let device = nix::libc::makedev(number(major)? as u32, number(minor)? as u32);
    let bytes = offset + number(end)?.checked_sub(number(start)?)?;
    below.starts_with('/').then_some(((device, inode), bytes))
}

#[cfg(test)]
mod tests {
    use super::{Size, flatten, is_within, mapped, unlinked};
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    #[test]
    fn bytes_files_and_what_cannot_be_read_are_limits() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("a/b")).expect("folders");
        fs::write(folder.path().join("a/b/c"), vec![1; 1 << 20]).expect("a file");
        let most = |bytes, files| is_within(folder.path(), Size::default(), Size { bytes, files });
        assert!(most(2 << 20, 3));
        assert!(!most(2 << 20, 2));
        assert!(!most(1 << 19, 3));
        let counted = Size { bytes: 1 << 21, files: 0 };
        assert!(!is_within(folder.path(), counted, Size { bytes: 2 << 20, files: 3 }));
        assert!(!is_within(
            &folder.path().join("x".repeat(5_000)),
            Size::default(),
            Size { bytes: 1, files: 1 }
        ));
    }

    #[test]
    fn a_folder_is_flattened_however_deep_it_is_and_whatever_its_modes_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut deep = folder.path().to_owned();
        for _ in 0..20 {
            deep.push("a".repeat(100));
            fs::create_dir(&deep).expect("a folder");
            fs::write(deep.join("file"), "").expect("a file");
        }
        // Beyond the longest path.
        for _ in 0..3 {
            fs::rename(folder.path().join("a".repeat(100)), folder.path().join("b")).expect("moved");
            let mut deep = folder.path().to_owned();
            for _ in 0..10 {
                deep.push("a".repeat(100));
                fs::create_dir(&deep).expect("a folder");
            }
            fs::rename(folder.path().join("b"), deep.join("b")).expect("moved");
        }
        let closed = folder.path().join("closed");
        fs::create_dir_all(closed.join("below")).expect("folders");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("a mode");
        // The first name is taken.
        fs::create_dir_all(folder.path().join("ruminate-0/a")).expect("folders");
        flatten(folder.path());
        for above in fs::read_dir(folder.path()).expect("a look").flatten() {
            for below in fs::read_dir(above.path()).expect("a look").flatten() {
                assert!(below.file_type().expect("a type").is_file(), "{below:?}");
            }
        }
        assert!(fs::remove_dir_all(folder.path()).is_ok());
    }

    #[test]
    fn a_file_without_a_name_is_counted_while_it_is_open() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&vec![1; 1 << 16]).and_then(|()| file.sync_all()).expect("bytes");
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        assert!(matches!(unlinked(Path::new(&link)), Some((_, bytes)) if bytes >= 1 << 16));
        assert_eq!(unlinked(Path::new("/proc/self/fd/0")), None);
    }

    #[test]
    fn a_line_of_mapped_memory_is_read() {
        let line = "7f01-7f05 rw-s 00000010 fe:01 4711                       /tmp/job/a b (deleted)";
        let device = nix::libc::makedev(0xfe, 1);
        assert_eq!(mapped("/tmp/job", line), Some(((device, 4711), 0x14)));
        for line in [line.trim_end_matches(" (deleted)"), "7f01-7f05 rw-p 00000000 00:00 0", ""] {
            assert_eq!(mapped("/tmp/job", line), None);
        }
        assert_eq!(mapped("/tmp/jo", line), None);
    }
}
