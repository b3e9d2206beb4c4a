// @ts-check
import { readFileSync } from 'node:fs'
import fp from 'fastify-plugin'
import { problemPage } from '../views/problem.js'

const ASSETS = [['site.css', 'text/css'], ['site.js', 'text/javascript'], ['icon.svg', 'image/svg+xml']]

const POLICY = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
  "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"
].join('; ')

/** What every answer of the site has in common: safe headers, forms, the assets, and errors that a person can read. */
export default fp(async (app) => {
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ 'content-security-policy': POLICY, 'x-content-type-options': 'nosniff', 'referrer-policy': 'same-origin' })
    // A form of another site must not press our buttons.
    const { origin, host } = request.headers
    if (request.method !== 'GET' && origin !== undefined && origin !== `${request.protocol}://${host}`) {
      return await reply.code(403).send({ error: 'Forbidden', message: 'This form belongs to another site.' })
    }
  })

  app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
    done(null, Object.fromEntries(new URLSearchParams(String(body))))
  })

  app.setErrorHandler(async (error, request, reply) => {
    const { statusCode = 500, message } = /** @type {Error & { statusCode?: number }} */ (error)
    if (statusCode >= 500) request.log.error(error)
    const said = statusCode === 500 ? 'Something went wrong; the log says what.' : message
    reply.code(statusCode)
    return wantsHtml(request) ? await sendHtml(reply, problemPage(said)) : { statusCode, message: said }
  })

  for (const [file, type] of ASSETS) {
    const content = readFileSync(new URL(`../public/${file}`, import.meta.url))
    app.get(`/${file}`, async (_request, reply) => await reply.type(`${type}; charset=utf-8`).send(content))
  }
}, { name: 'web' })

/**
 * True for a browser that follows a form or a link; a script asks for JSON.
 *
 * @param {import('fastify').FastifyRequest} request
 */
export function wantsHtml (request) {
  return (request.headers.accept ?? '').includes('text/html')
}

/**
 * Answer what a button did: JSON for a script, the way back to the page for a form.
 *
 * @param {import('fastify').FastifyRequest} request
 * @param {import('fastify').FastifyReply} reply
 * @param {number} code for the script; 202 where the work is done in the background
 * @param {object} body
 */
export async function answer (request, reply, code, body) {
  return wantsHtml(request) ? await reply.redirect('/', 303) : await reply.code(code).send(body)
}

/**
 * @param {import('fastify').FastifyReply} reply
 * @param {{ toString (): string }} page
 */
export async function sendHtml (reply, page) {
  return await reply.type('text/html; charset=utf-8').header('cache-control', 'no-store').send(page.toString())
}

/** JSON Schema of a route's `:id`. */
export const idParams = {
  type: 'object',
  properties: { id: { type: 'integer', minimum: 1, maximum: 2_147_483_647 } }
}

/** @param {string} message */
export function notFound (message) {
  return Object.assign(new Error(message), { statusCode: 404 })
}

/** @param {string} message */
export function conflict (message) {
  return Object.assign(new Error(message), { statusCode: 409 })
}
