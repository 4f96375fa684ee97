// A button that asks before it does what it says.

import { Button, type ButtonProps } from '@mantine/core'
import { useState, type ReactNode } from 'react'
import { Confirm } from './basics.tsx'

export function ConfirmButton({
  label,
  of,
  text,
  danger,
  withReason,
  onConfirm,
  ...look
}: ButtonProps & {
  label: string
  /** What it is done to, where the button stands in a list. */
  of?: string
  /** What follows from it. */
  text: ReactNode
  danger?: boolean
  withReason?: boolean
  onConfirm: (reason: string) => Promise<unknown>
}) {
  const [asking, setAsking] = useState(false)
  const name = of === undefined ? label : `${label}: ${of}`
  return (
    <>
      <Button {...look} onClick={() => setAsking(true)} aria-label={name}>
        {label}
      </Button>
      {asking && (
        <Confirm
          title={name}
          text={text}
          action={label}
          {...(danger && { danger })}
          {...(withReason && { withReason })}
          onClose={() => setAsking(false)}
          onConfirm={onConfirm}
        />
      )}
    </>
  )
}
