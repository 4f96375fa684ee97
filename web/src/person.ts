// Who is logged in, and what he may.

import { createContext, useContext } from 'react'
import type { Me } from '../../src/contract/people.ts'
import type { Language } from './i18n/index.ts'

export interface Person {
  readonly me: Me
  readonly version: string
  readonly environment: string
  readonly setLanguage: (language: Language) => void
  readonly setTheme: (theme: 'light' | 'dark' | 'auto') => void
  readonly logOut: () => void
}

export const PersonContext = createContext<Person | null>(null)

export function usePerson(): Person {
  const person = useContext(PersonContext)
  if (!person) throw new Error('nobody is logged in')
  return person
}

const RANKS = ['reader', 'operator', 'admin']

export function useMay(role: 'operator' | 'admin'): boolean {
  return RANKS.indexOf(usePerson().me.role) >= RANKS.indexOf(role)
}
