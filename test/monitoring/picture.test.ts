import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { drawRow } from '../../monitoring/src/picture/draw.ts'
import { type FilledPanel, fill, type Panel, panelsOf } from '../../monitoring/src/picture/row.ts'
import { escaped } from '../../monitoring/src/picture/svg.ts'
import { OF_WATCHED_CONSUMERS } from '../../monitoring/src/watch-panels.ts'

const read = (path: string): Promise<string> => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')
const { title } = OF_WATCHED_CONSUMERS
const panels = panelsOf(JSON.parse(await read('monitoring/dashboard.json')), title)
const RANGE = { start: 100, end: 160 }

describe('the picture of the row of watched consumers', async () => {
  const picture = await read('docs/watched-consumers.svg')

  test('has the panels of the dashboard, drawn from its queries: `pnpm monitoring:picture` makes it anew', () => {
    expect(picture).toContain(`▾ ${escaped(title)}</text>`)
    const drawn = [...picture.matchAll(/<desc>([^<]*)<\/desc>\n<rect [^>]*>\n<text [^>]*>([^<]*)</g)]
    expect(drawn.map(([, queries, panel]) => [panel, queries])).toEqual(
      panels.map((panel) => [
        escaped(panel.title),
        escaped(panel.queries.map(({ expr }) => expr).join('\n')),
      ]),
    )
  })

  test('needs nothing from elsewhere, is small, and has a background of its own', () => {
    expect(picture.replace('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:|href|url\(|@import|<style/)
    expect(Buffer.byteLength(picture)).toBeLessThan(100_000)
    expect(picture).toMatch(
      /^<svg [^>]*>\n<title>[^<]+<\/title>\n<rect width="\d+" height="\d+" rx="\d+" fill="#/,
    )
  })
})

describe('a picture', () => {
  const filled = async (
    answers: Parameters<typeof fill>[1],
    of: readonly Panel[] = panels,
  ): Promise<string> =>
    drawRow(
      title,
      await Promise.all(of.map((panel): Promise<FilledPanel> => fill(panel, answers, RANGE))),
      RANGE,
    )

  test('shows numbers in the colour that they have reached, and lines with their legends', async () => {
    const metric = { consumer: 'loops.<plain>', verdict: 'lost' }
    const picture = await filled({
      query: async (_, at) => [{ metric, value: at === RANGE.end ? 1_234.4 : 0 }],
      queryRange: async () => [
        {
          metric,
          points: [
            [100, 0],
            [101, 2],
            [130, 4],
            [131, 4],
          ],
        },
      ],
    })
    expect(picture).toMatch(/fill="#ff6b7f"[^>]*>1,234<\/text>\n<text [^>]*>loops.&lt;plain&gt; lost</)
    expect(picture).toMatch(/>loops.&lt;plain&gt;</)
    // Broken where samples are missing.
    expect(picture).toMatch(/<path d="M[^M]+M[^M]+"/)
  })

  test('says of a panel without data what the dashboard says there', async () => {
    const picture = await filled({ query: async () => [], queryRange: async () => [] })
    for (const { whenEmpty } of panels) expect(picture).toContain(`>${whenEmpty}<`)
  })

  test('asks nothing that has a variable of the dashboard left in it', async () => {
    const asked: string[] = []
    const note = async (query: string): Promise<never[]> => {
      asked.push(query)
      return []
    }
    await filled({ query: note, queryRange: note })
    expect(asked).toHaveLength(panels.flatMap(({ queries }) => queries).length)
    expect(asked.filter((query) => query.includes('$'))).toEqual([])
    expect(asked.join()).toContain('[60s]')
  })
})
