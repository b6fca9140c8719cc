import type { JSX } from 'preact'
import type { Problem } from '../../src/protocol.ts'
import { type FoldedProblem, folded } from '../pure/folded.ts'
import { isCommand, linkOf } from '../pure/problem-links.ts'
import { count } from '../pure/words.ts'

/** More are shown on demand: who is called at night reads the worst ones. */
const SHOWN_FIRST = 10

/** What is wrong, in words, each with what to try. */
export function Problems({ problems }: { readonly problems: readonly Problem[] }): JSX.Element {
  const all = folded(problems)
  const more = all.slice(SHOWN_FIRST)
  return (
    <>
      <List problems={all.slice(0, SHOWN_FIRST)} />
      {more.length > 0 && (
        <details>
          <summary>{count(more.length, 'more thing')}</summary>
          <List problems={more} />
        </details>
      )}
    </>
  )
}

const MILDER: ReadonlySet<Problem['code']> = new Set(['paused', 'dead_letters', 'late_events'])

function List({ problems }: { readonly problems: readonly FoldedProblem[] }): JSX.Element {
  return (
    <ul class="problems">
      {problems.map(({ first, others }) => (
        <li
          key={`${first.code} ${JSON.stringify(first.about)}`}
          class={MILDER.has(first.code) ? 'milder' : ''}
        >
          <p class="what">{first.what}</p>
          {others.length > 0 && (
            <details>
              <summary>{others.length} more alike</summary>
              {others.map(({ what }) => (
                <p key={what}>{what}</p>
              ))}
            </details>
          )}
          <Next problem={first} />
        </li>
      ))}
    </ul>
  )
}

function Next({ problem }: { readonly problem: Problem }): JSX.Element {
  const link = linkOf(problem)
  return (
    <ul>
      {link !== undefined && link.href !== location.hash && (
        <li>
          <a href={link.href}>{link.text}</a>
        </li>
      )}
      {problem.next.map((next) => (
        <li key={next}>{isCommand(next) ? <InTerminal command={next} /> : next}</li>
      ))}
    </ul>
  )
}

function InTerminal({ command }: { readonly command: string }): JSX.Element {
  return (
    <span>
      <span class="muted">in a terminal:</span> <code>{command}</code>
    </span>
  )
}
