import type { JSX } from 'preact'
import type { LetterGroupsAnswer } from '../../src/protocol.ts'
import type { Looked } from '../pure/letter-filter.ts'
import { hrefOf } from '../pure/routes.ts'
import { count, listed, number } from '../pure/words.ts'
import { Ago } from './time.tsx'

/** Open letters by what was thrown: one cause is one row. */
export function LetterGroups({
  answer: { groups, looked: lookedAt, isWhole },
  looked,
}: {
  readonly answer: LetterGroupsAnswer
  readonly looked: Looked
}): JSX.Element | null {
  if (groups.length === 0) return null
  return (
    <section class="panel" aria-label="By error">
      <h2>By error</h2>
      {!isWhole && <p class="muted">Of the first {count(lookedAt, 'letter')} alone: there are more.</p>}
      <table class="blocks">
        <thead>
          <tr>
            <th scope="col">error</th>
            <th scope="col">projection</th>
            <th scope="col" class="number">
              letters
            </th>
            <th scope="col">types</th>
            <th scope="col">first</th>
            <th scope="col">last</th>
          </tr>
        </thead>
        <tbody>
          {groups.map(({ projection, version, error, ...group }) => (
            <tr key={`${projection} ${version} ${error}`}>
              <th scope="row" data-name="error">
                <a
                  href={hrefOf(['dead-letters'], { ...looked, projection, version: String(version), error })}
                  aria-current={
                    looked.error === error && looked.projection === projection ? 'true' : undefined
                  }
                >
                  {error}
                </a>
              </th>
              <td data-name="projection">
                {projection}
                {version > 1 && ` version ${version}`}
              </td>
              <td data-name="letters" class="number">
                {number(group.count)}
              </td>
              <td data-name="types">{listed(group.eventTypes)}</td>
              <td data-name="first">
                <Ago atMs={group.oldestAtMs} />
              </td>
              <td data-name="last">
                <Ago atMs={group.newestAtMs} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}
