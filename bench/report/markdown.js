/** The whole report as Markdown: what it was measured on, and one table a measure. */
export function markdown (report) {
  return [head(report), ...report.measures.map(table), settings(report)].join('\n\n') + '\n'
}

/** One measure: a row a contestant; each figure as median (least – most) of the rounds. */
export function table ({ title, figures, rows, series }) {
  const names = Object.keys(figures)
  const lines = [
    `### ${title}`,
    '',
    `| | ${names.map((name) => figures[name].title).join(' | ')} |`,
    `| --- |${' ---: |'.repeat(names.length)}`,
    ...rows.map(({ contestant, values, error }) => error === undefined
      ? `| ${contestant} | ${names.map((name) => cell(values[name])).join(' | ')} |`
      : `| ${contestant} | failed: ${error.split('\n')[0]} |${' |'.repeat(names.length - 1)}`)
  ]
  if (series !== undefined) {
    lines.push('', `${series[0].toUpperCase()}${series.slice(1)}, of the last round:`, '')
    for (const { contestant, series: rates } of rows) if (rates?.length > 0) lines.push(`- ${contestant}: ${rates.map(short).join(' ')}`)
  }
  return lines.join('\n')
}

function head ({ machine, versions, rounds }) {
  const { date, commit, cores, cpu, memoryGiB, system, node } = machine
  return [
    `Measured ${date} at ${commit}, on ${cores} cores (${cpu}), ${memoryGiB} GiB, ${system}, Node.js ${node}.`,
    `${Object.entries(versions.databases).map(([name, version]) => `${name} ${version}`).concat(versions.libraries).join(', ')}.`,
    `Medians of ${rounds} ${rounds === 1 ? 'round' : 'rounds'} in turn (least – most). Quote ratios, not absolutes.`
  ].join('\n')
}

function settings ({ contestants }) {
  return ['### Settings', '', ...contestants.map(({ name, says }) => `- ${name}: ${says}`)].join('\n')
}

function cell (value) {
  if (value === null || value === undefined) return '–'
  const { median, min, max, rounds } = value
  return rounds === 1 ? short(median) : `${short(median)} (${short(min)} – ${short(max)})`
}

function short (value) {
  if (value >= 1_000) return Math.round(value / 10 ** Math.max(0, digits(value) - 3)) * 10 ** Math.max(0, digits(value) - 3) + ''
  return Number(value.toPrecision(3)) + ''
}

function digits (value) {
  return Math.floor(Math.log10(value)) + 1
}
