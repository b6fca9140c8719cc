/** The samples of a page in the Prometheus format. */
export class Scrape {
  readonly #samples: readonly { readonly series: string; readonly value: number }[]

  constructor(text: string) {
    this.#samples = text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        const space = line.lastIndexOf(' ')
        return { series: line.slice(0, space), value: Number(line.slice(space + 1)) }
      })
  }

  /** Over all other labels of a metric (without its `martend_async_daemon_`); `undefined` where it has no sample. */
  sum(metric: string, projection: string): number | undefined {
    const values = this.#samples
      .filter(({ series }) => series.startsWith(`martend_async_daemon_${metric}{`))
      .filter(({ series }) => series.includes(`projection_name="${projection}"`))
      .map(({ value }) => value)
    return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0)
  }
}
