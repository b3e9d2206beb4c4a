/**
 * The items, and as many more made of the last one that there is a power of `base` of them, or `max`. For statements with a
 * part for each: a text for each number of parts would be as many to keep compiled, and they are large.
 */
export function padded<T> (items: readonly T[], { base, max }: { readonly base: number, readonly max: number }, more: (last: T) => T = (last) => last): T[] {
  let size = items.length === 0 ? 0 : 1
  while (size < items.length) size *= base
  return Array.from({ length: Math.max(items.length, Math.min(size, max)) }, (_, index) => items[index] ?? more(items.at(-1) as T))
}
