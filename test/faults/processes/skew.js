// Moves this process's idea of the date by SKEW_MS, and by as much again, back and forth, every SKEW_JUMP_MS. Neither
// the monotonic clock nor a database elsewhere is moved.
const skew = Number(process.env.SKEW_MS ?? 0)
const jump = Number(process.env.SKEW_JUMP_MS ?? Infinity)
const RealDate = Date

function now () {
  return RealDate.now() + skew * (1 + Math.floor(performance.now() / jump) % 2)
}

globalThis.Date = class Date extends RealDate {
  constructor (...args) {
    if (args.length === 0) super(now())
    else super(...args)
  }

  static now () { return now() }
}
