/** How many characters the texts among these values have. */
export function charsOf (values: readonly unknown[]): number {
  let chars = 0
  for (const value of values) if (typeof value === 'string') chars += value.length
  return chars
}
