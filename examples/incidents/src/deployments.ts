import { readFile, writeFile } from 'node:fs/promises'
import { RELEASES, type Release } from './projections.ts'
import type { Supervisor } from './supervisor.ts'

/** Which release of the shop runs: the one that is named in a file. */
export class Deployments {
  readonly #file: string
  readonly #shop: Supervisor
  #deployed: string

  /** `deployed`: what the shop was started with. */
  static async begin(file: string, shop: Supervisor, deployed: Release): Promise<Deployments> {
    await writeFile(file, `${deployed}\n`)
    return new Deployments(file, shop, deployed)
  }

  private constructor(file: string, shop: Supervisor, deployed: Release) {
    this.#file = file
    this.#shop = shop
    this.#deployed = deployed
  }

  async deploy(release: Release): Promise<void> {
    await writeFile(this.#file, `${release}\n`)
    await this.follow()
  }

  /** Deploys what is named there by now. Answers what there is to say of it. */
  async follow(): Promise<string | undefined> {
    const named = (await readFile(this.#file, 'utf8')).trim()
    // Whoever writes the file empties it first.
    if (named === this.#deployed || named === '') return undefined
    this.#deployed = named
    if (!RELEASES.some((release) => release === named)) {
      return `There is no release ${JSON.stringify(named)}: ${RELEASES.join(', ')}`
    }
    await this.#shop.restart({ SHOP_RELEASE: named })
    return `${named} is deployed`
  }
}
