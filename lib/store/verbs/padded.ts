/**
 * The items, and as many more made of the last one that there are `least`, or that doubled some times, or `max`. For statements
 * with a part for each: a text for each number of parts would be as many to keep compiled, and they are large.
 */
export function padded<T> (items: readonly T[], { least, max }: { readonly least: number, readonly max: number }, more: (last: T) => T = (last) => last): T[] {
  if (items.length === 0) return []
  let size = least
  while (size < items.length) size *= 2
  return Array.from({ length: Math.max(items.length, Math.min(size, max)) }, (_, index) => items[index] ?? more(items.at(-1) as T))
}
