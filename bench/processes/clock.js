/** Milliseconds of a clock that all processes of one machine share and nobody sets. */
export function now () {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000
}

export async function pause (milliseconds) {
  await new Promise((resolve) => { setTimeout(resolve, milliseconds) })
}
