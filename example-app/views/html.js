// @ts-check

/** Text that is HTML already. */
class Html {
  /** @param {string} text */
  constructor (text) {
    this.text = text
  }

  toString () {
    return this.text
  }
}

/**
 * A template tag: whatever is put in is escaped, but for what this tag made itself. Lists are joined; null, undefined
 * and false are nothing. Write attributes in double quotes.
 *
 * @param {TemplateStringsArray} strings
 * @param {...unknown} values
 */
export function html (strings, ...values) {
  return new Html(String.raw({ raw: strings }, ...values.map(render)))
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function render (value) {
  if (value instanceof Html) return value.text
  if (Array.isArray(value)) return value.map(render).join('')
  if (value === null || value === undefined || value === false) return ''
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
