// Makes `assets/`: what browsers are given. One file each of script and style, nothing inline, no address outside.
import { copyFile, mkdir, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const page = fileURLToPath(new URL('page/', import.meta.url))
const assets = fileURLToPath(new URL('assets/', import.meta.url))

await rm(assets, { recursive: true, force: true })
await mkdir(assets, { recursive: true })
await build({
  entryPoints: { console: `${page}main.tsx` },
  outdir: assets,
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['chrome120', 'firefox121', 'safari17.4'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'none',
  logLevel: 'warning',
})
await build({ entryPoints: [`${page}console.css`], outdir: assets, minify: true, logLevel: 'warning' })
for (const file of ['index.html', 'icon.svg']) await copyFile(`${page}${file}`, `${assets}${file}`)
