//! What a program's allocator asks of the kernel. In a process of its own: an allocator is for the whole of one.
#![cfg(target_os = "linux")]

use ruminate::ReportingAllocator;
use std::hint::black_box;
use std::path::Path;

#[global_allocator]
static ALLOCATOR: ReportingAllocator = ReportingAllocator::new(9);

const LARGE_PAGE: usize = 2 << 20;

/// The flags of the mapping that an address lies in.
fn flags(address: usize) -> String {
    let maps = std::fs::read_to_string("/proc/self/smaps").expect("Linux has it");
    let mut inside = false;
    for line in maps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let range = range.and_then(|(start, end)| {
            Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
        });
        inside = range.map_or(inside, |range| range.contains(&address));
        if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
            return flags.to_owned();
        }
    }
    panic!("{address:#x} lies in no mapping")
}

#[test]
fn large_blocks_may_lie_in_large_pages_and_small_ones_are_left_alone() {
    if !Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
        eprintln!("skipped: this kernel has no transparent huge pages");
        return;
    }
    let advised = |block: &[u8]| {
        let block = black_box(block).as_ptr() as usize;
        flags(block.next_multiple_of(LARGE_PAGE)).split(' ').any(|flag| flag == "hg")
    };
    assert!(advised(&vec![1_u8; 64 << 20]), "filled");
    assert!(advised(&vec![0_u8; 64 << 20]), "zeroed");
    let mut grown = vec![1_u8; 1 << 20];
    grown.reserve_exact(64 << 20);
    grown.resize(64 << 20, 2);
    assert!(advised(&grown), "grown");
    assert!(grown.iter().take(1 << 20).all(|&byte| byte == 1), "as it was");
}
