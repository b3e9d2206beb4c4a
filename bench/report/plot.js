const WIDTH = 640
const HEIGHT = 320
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 170, 40, 44]
const COLOURS = ['#0b6e4f', '#b3541e', '#2f4b9c', '#8a2d6b', '#5c5c5c', '#a08a00']
const TICKS = 5

/**
 * Lines over a numeric axis, as an SVG that reads on light and dark pages alike: whoever shows it gives it a background.
 * @param {{ title: string, x: string, y: string, log?: boolean, lines: Array<{ name: string, points: Array<[number, number]> }> }} plot -
 * `log`: the horizontal axis grows by factors
 */
export function svg ({ title, x, y, log = false, lines }) {
  const points = lines.flatMap((line) => line.points)
  const [least, most] = [Math.min(...points.map(([at]) => at)), Math.max(...points.map(([at]) => at))]
  const top = niceAbove(Math.max(...points.map(([, value]) => value)))
  const place = log ? (at) => (Math.log(at) - Math.log(least)) / (Math.log(most) - Math.log(least) || 1) : (at) => (at - least) / (most - least || 1)
  const left = (at) => round(LEFT + place(at) * (WIDTH - LEFT - RIGHT))
  const up = (value) => round(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM))
  const marks = [...new Set(log ? points.map(([at]) => at) : evenly(least, most))]
  const parts = [
    `<text x="${LEFT}" y="20" font-size="14" font-weight="bold">${escape(title)}</text>`,
    ...evenly(0, top).map((value) => `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${up(value)}" y2="${up(value)}" stroke="#ddd"/><text x="${LEFT - 6}" y="${up(value) + 4}" text-anchor="end">${short(value)}</text>`),
    ...marks.map((at) => `<text x="${left(at)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${short(at)}</text>`),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escape(x)}</text>`,
    `<text transform="translate(14 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">${escape(y)}</text>`,
    ...lines.flatMap(({ name, points }, index) => {
      const colour = COLOURS[index % COLOURS.length]
      return [
        `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map(([at, value]) => `${left(at)},${up(value)}`).join(' ')}"/>`,
        ...(points.length <= 8 ? points.map(([at, value]) => `<circle cx="${left(at)}" cy="${up(value)}" r="3" fill="${colour}"/>`) : []),
        `<text x="${WIDTH - RIGHT + 8}" y="${TOP + 12 + index * 18}" fill="${colour}">${escape(name)}</text>`
      ]
    })
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11" fill="#222" role="img" aria-label="${escape(title)}">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
${parts.join('\n')}
</svg>
`
}

function evenly (from, to) {
  return Array.from({ length: TICKS + 1 }, (_, index) => from + (to - from) * index / TICKS)
}

/** The next of 1, 2, 2.5, 5 and 10 times a power of ten, so that ticks are round. */
function niceAbove (value) {
  const power = 10 ** Math.floor(Math.log10(value || 1))
  return power * [1, 2, 2.5, 5, 10].find((step) => value <= step * power)
}

function short (value) {
  if (value >= 1_000_000) return `${Number((value / 1_000_000).toPrecision(3))}M`
  return value >= 1_000 ? `${Number((value / 1_000).toPrecision(3))}k` : `${Number(value.toPrecision(3))}`
}

function round (value) {
  return Math.round(value * 10) / 10
}

function escape (text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
