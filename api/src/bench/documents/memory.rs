//! What this process holds of memory, in MB; 0 where the system does not tell.

/// Now.
pub fn resident_mb() -> u64 {
    status("VmRSS:")
}

/// At most so far.
pub fn peak_mb() -> u64 {
    status("VmHWM:")
}

fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes / 1024)
}
