import { builtinModules } from 'node:module'
import { join } from 'node:path'
import commonjsPlugin from '@rollup/plugin-commonjs'
import { nodeResolve } from '@rollup/plugin-node-resolve'
import * as esbuild from 'esbuild'
import { rollup } from 'rollup'
import { build as viteBuild } from 'vite'
import webpack from 'webpack'

/** Its types are those of its CommonJS build, where the function stands one deeper. */
const commonjs = commonjsPlugin as unknown as typeof commonjsPlugin.default

/** Makes one file of the program `entry` and all that it imports, but Node's own modules; resolves to its path. */
export type Bundle = (entry: string, outputFolder: string) => Promise<string>

export const BUNDLERS: Readonly<Record<string, Bundle>> = {
  webpack: async (entry, path) => {
    const stats = await new Promise<webpack.Stats | undefined>((resolve, reject) =>
      webpack(
        {
          mode: 'production',
          target: 'node20',
          context: join(entry, '..'),
          entry,
          output: { path, filename: 'bundle.cjs' },
          optimization: { minimize: false },
        },
        (error, stats) => (error ? reject(error) : resolve(stats)),
      ),
    )
    if (stats?.hasErrors()) throw new Error(stats.toString({ all: false, errors: true }))
    return join(path, 'bundle.cjs')
  },
  esbuild: async (entry, path) => {
    const outfile = join(path, 'bundle.mjs')
    await esbuild.build({
      entryPoints: [entry],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
      // prom-client is CommonJS and requires Node's modules.
      banner: {
        js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);`,
      },
    })
    return outfile
  },
  rollup: async (entry, path) => {
    const file = join(path, 'bundle.mjs')
    const bundle = await rollup({
      input: entry,
      external: (id) => id.startsWith('node:') || builtinModules.includes(id),
      plugins: [nodeResolve({ exportConditions: ['node'] }), commonjs({ ignoreDynamicRequires: true })],
      logLevel: 'silent',
    })
    await bundle.write({ file, inlineDynamicImports: true })
    await bundle.close()
    return file
  },
  vite: async (entry, outDir) => {
    await viteBuild({
      configFile: false,
      root: join(entry, '..'),
      logLevel: 'silent',
      ssr: { noExternal: true },
      build: { ssr: entry, outDir, rollupOptions: { output: { entryFileNames: 'bundle.mjs' } } },
    })
    return join(outDir, 'bundle.mjs')
  },
}
