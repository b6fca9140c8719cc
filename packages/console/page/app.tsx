import { type Signal, signal } from '@preact/signals'
import type { JSX } from 'preact'
import { session } from './live/api.ts'
import { fresh } from './live/live.ts'
import { AuditPage } from './pages/audit.tsx'
import { ConsumersPage } from './pages/consumers.tsx'
import { DeadLettersPage } from './pages/dead-letters.tsx'
import { DoctorPage } from './pages/doctor.tsx'
import { LetterPage } from './pages/letter.tsx'
import { NodesPage } from './pages/nodes.tsx'
import { OverviewPage } from './pages/overview.tsx'
import { ProjectionPage } from './pages/projection.tsx'
import { SkipsPage } from './pages/skips.tsx'
import { AskedDialog } from './parts/action-dialog.tsx'
import { Page } from './parts/page.tsx'
import { ThemeSwitch } from './parts/theme.tsx'
import type { Freshness } from './pure/freshness.ts'
import { hrefOf, PAGES, parseRoute, type Route } from './pure/routes.ts'

const route: Signal<Route> = signal(parseRoute(location.hash))
addEventListener('hashchange', () => {
  route.value = parseRoute(location.hash)
  // A page begins at its top; a place on a page is where the browser has gone.
  if (location.hash.startsWith('#/')) scrollTo(0, 0)
})

export function App(): JSX.Element {
  return (
    <>
      <button type="button" class="skip" onClick={toContent}>
        To what the page says
      </button>
      <header class="top">
        <a class="name" href={hrefOf([])}>
          Tidemark
        </a>
        <Navigation at={route.value.page} />
        <div class="link-state">
          <LinkState />
          <ThemeSwitch />
        </div>
      </header>
      <Banner />
      <main id="content" tabIndex={-1}>
        <Shown route={route.value} />
      </main>
      <Footer />
      <AskedDialog />
    </>
  )
}

/** A button and no link: the address stays that of the page. */
function toContent(): void {
  document.getElementById('content')?.focus()
}

const NAMES: Readonly<Record<(typeof PAGES)[number], string>> = {
  overview: 'Overview',
  'dead-letters': 'Dead letters',
  consumers: 'Consumers',
  skips: 'Skips',
  nodes: 'Nodes',
  audit: 'Audit',
  doctor: 'Doctor',
}

function Navigation({ at }: { readonly at: Route['page'] }): JSX.Element {
  const current = at === 'letter' ? 'dead-letters' : at === 'projection' ? 'overview' : at
  return (
    <nav aria-label="Pages">
      <ul>
        {PAGES.map((page) => (
          <li key={page}>
            <a
              href={hrefOf(page === 'overview' ? [] : [page])}
              aria-current={current === page ? 'page' : undefined}
            >
              {NAMES[page]}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  )
}

function Shown({ route: at }: { readonly route: Route }): JSX.Element {
  switch (at.page) {
    case 'overview':
      return <OverviewPage />
    case 'projection':
      return <ProjectionPage projection={at.projection} />
    case 'dead-letters':
      return <DeadLettersPage query={at.query} />
    case 'letter':
      return <LetterPage id={at.id} />
    case 'consumers':
      return <ConsumersPage />
    case 'skips':
      return <SkipsPage query={at.query} />
    case 'nodes':
      return <NodesPage />
    case 'audit':
      return <AuditPage query={at.query} />
    case 'doctor':
      return <DoctorPage />
    case 'unknown':
      return (
        <Page title="There is no such page">
          <p>
            <a href={hrefOf([])}>To the overview</a>
          </p>
        </Page>
      )
  }
}

function LinkState(): JSX.Element {
  const { is, says } = fresh.value
  return (
    <span class={is === 'fresh' ? 'well' : ''}>
      {is === 'fresh' ? says : is === 'waiting' ? 'Connecting' : 'Not live'}
    </span>
  )
}

const TOLD: Readonly<Record<Freshness['is'], string>> = {
  fresh: '',
  waiting: '',
  old: 'What is shown is old.',
  'server-away': 'The server of this page is away.',
  'database-away': 'The database is away.',
}

/** Over everything where what is shown is not of now. */
function Banner(): JSX.Element {
  const state = fresh.value
  return (
    <>
      {/* Its age changes each second: whoever hears the page is told once. */}
      <p class="hidden" role="status">
        {TOLD[state.is]}
      </p>
      {state.is !== 'fresh' && (
        <div class={state.is === 'waiting' || state.is === 'old' ? 'banner' : 'banner bad'}>
          <p>{state.says}</p>
          {'next' in state && state.next.map((next) => <p key={next}>{next}</p>)}
        </div>
      )}
    </>
  )
}

function Footer(): JSX.Element | null {
  const known = session.value
  if (known === undefined) return null
  return (
    <footer>
      <p>
        {known.called !== null && `${known.called} · `}
        {known.who} · {known.actions ? 'buttons change things, and the audit keeps who and why' : 'read only'}{' '}
        · Tidemark {known.version}
      </p>
    </footer>
  )
}
