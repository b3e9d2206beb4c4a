export function median (values) {
  return percentile(values, 50)
}

/** The value below which so many per cent lie; between two values, what lies between them. */
export function percentile (values, percent) {
  const sorted = [...values].sort((a, b) => a - b)
  const place = (sorted.length - 1) * percent / 100
  const below = sorted[Math.floor(place)]
  const above = sorted[Math.ceil(place)]
  return below + (above - below) * (place - Math.floor(place))
}

/** Of several rounds: median, least and most; null where no round gave a number. */
export function summary (values) {
  const numbers = values.filter((value) => typeof value === 'number' && Number.isFinite(value))
  return numbers.length === 0 ? null : { median: median(numbers), min: Math.min(...numbers), max: Math.max(...numbers), rounds: numbers.length }
}
