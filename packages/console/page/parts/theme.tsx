import { type Signal, signal } from '@preact/signals'
import type { JSX } from 'preact'

type Theme = 'system' | 'light' | 'dark'

const KEY = 'tidemark-theme'
const NEXT: Readonly<Record<Theme, Theme>> = { system: 'light', light: 'dark', dark: 'system' }
const WORDS: Readonly<Record<Theme, string>> = { system: 'as the system', light: 'light', dark: 'dark' }

const theme: Signal<Theme> = signal(kept())

/** Where storage is forbidden, the switch works until the page is left. */
function kept(): Theme {
  try {
    const found = localStorage.getItem(KEY)
    return found === 'light' || found === 'dark' ? found : 'system'
  } catch {
    return 'system'
  }
}

function apply(to: Theme): void {
  const root = document.documentElement
  if (to === 'system') delete root.dataset.theme
  else root.dataset.theme = to
}

apply(theme.value)

export function ThemeSwitch(): JSX.Element {
  const turn = (): void => {
    theme.value = NEXT[theme.value]
    apply(theme.value)
    try {
      localStorage.setItem(KEY, theme.value)
    } catch {}
  }
  return (
    <button type="button" class="quiet" onClick={turn}>
      Colours: {WORDS[theme.value]}
    </button>
  )
}
