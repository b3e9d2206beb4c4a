/** Text that has broken somebody's database, template or log: it must come back as it went in, or be refused. */
export const HOSTILE_TEXTS: readonly string[] = Object.freeze([
  "'; DROP TABLE tasks_results; --",
  '" OR ""="',
  "\\' OR 1=1 --",
  '$1 $2 ?1 ?? ? :name @p1',
  '%', '_', '%_%', 'a\\%b',
  '$' + '{process.exit(1)}',
  '<script>alert(1)</script>',
  '__proto__', 'constructor', 'toString', 'hasOwnProperty',
  '../../etc/passwd',
  'null', 'undefined', 'NaN', '0', '-1', '1e309',
  'grüße, 世界, 🦊, e\u0301, \u202Eright to left',
  'line\nbreak\r\ttab\u2028\u2029',
  '\u001B[31mred'
])

/** What JSON escapes and some databases refuse when they look into it. */
export const ESCAPED_TEXTS: readonly string[] = Object.freeze(['\u0000', 'a\u0000b', '\uD800', '\uDFFF\uD800', 'x\uD83Dy'])
