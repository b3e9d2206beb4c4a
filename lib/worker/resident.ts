let lastBytes = 0

/** Resident memory of this process. Where it cannot be read, which takes a free file descriptor, as it was last. */
export function residentBytes (): number {
  try {
    lastBytes = process.memoryUsage.rss()
  } catch {
    // It grows no less for that, and will be read again.
  }
  return lastBytes
}
