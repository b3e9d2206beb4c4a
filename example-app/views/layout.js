// @ts-check
import { html } from './html.js'

/**
 * @param {unknown} content of the main part
 * @param {unknown} [head] more for the head
 */
export function layout (content, head) {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Small Press</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/site.css">
${head}
</head>
<body>
<a class="skip" href="#main">Skip to the work</a>
<header class="top"><h1><a href="/">Small Press</a></h1><p>A publishing site whose slow work happens in the background.</p></header>
<main id="main">
${content}
</main>
<p id="said" class="said" role="status"></p>
<footer>An example of <code>fastify-tasks</code>. Its code is in <code>example-app/</code>.</footer>
</body>
</html>
`
}
