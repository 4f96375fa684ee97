// The interface, browsable: every operation with its parameters and answers, out of the same document that programs read.

import { Anchor, Code, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { address } from '../api.ts'
import { useT } from '../i18n/index.ts'
import { Copyable, Loaded, PageTitle, Chip } from '../parts/basics.tsx'

interface Operation {
  readonly summary?: string
  readonly tags?: readonly string[]
  readonly parameters?: readonly { name: string; in: string; required?: boolean; schema?: unknown }[]
  readonly requestBody?: { content?: Record<string, { schema?: unknown }> }
  readonly responses?: Record<string, { content?: Record<string, { schema?: unknown }> }>
}
interface Document {
  readonly paths: Record<string, Record<string, Operation>>
}

export default function ReferencePage() {
  const t = useT()
  const document = useQuery<Document>({
    queryKey: ['still', 'openapi'],
    queryFn: async () => await (await fetch(address('api/openapi.json'), { credentials: 'same-origin' })).json(),
  })
  return (
    <Stack>
      <PageTitle title={t.reference.title} />
      <Text>{t.reference.text}</Text>
      <Anchor href={address('api/openapi.json')} download>
        {t.reference.download}
      </Anchor>
      <Loaded query={document}>
        {({ paths }) => (
          <Stack gap={4}>
            {Object.entries(paths).flatMap(([path, operations]) =>
              Object.entries(operations).map(([method, operation]) => (
                <details key={`${method} ${path}`}>
                  <summary className="anywhere">
                    <Chip>{method}</Chip>
                    <span className="mono">{path}</span> · <span lang="en">{operation.summary}</span>
                  </summary>
                  <Stack gap="xs" p="sm">
                    <Copyable label={t.common.command} text={curl(method, path, operation)} />
                    {operation.parameters && operation.parameters.length > 0 && (
                      <Text size="sm">
                        {t.reference.parameters}:{' '}
                        {operation.parameters
                          .map(({ name, in: place, required }) => `${name} (${place}${required ? ', *' : ''})`)
                          .join(', ')}
                      </Text>
                    )}
                    <Schema
                      title={t.reference.body}
                      schema={operation.requestBody?.content?.['application/json']?.schema}
                    />
                    {Object.entries(operation.responses ?? {}).map(([status, answer]) => (
                      <Schema
                        key={status}
                        title={`${t.reference.answers}: ${status}`}
                        schema={answer.content?.['application/json']?.schema}
                      />
                    ))}
                  </Stack>
                </details>
              )),
            )}
          </Stack>
        )}
      </Loaded>
    </Stack>
  )
}

function Schema({ title, schema }: { title: string; schema: unknown }) {
  if (schema === undefined) return null
  return (
    <details>
      <summary className="anywhere">{title}</summary>
      <Code block className="transcript" tabIndex={0}>
        {JSON.stringify(schema, null, 2)}
      </Code>
    </details>
  )
}

const curl = (method: string, path: string, operation: Operation): string =>
  [
    `curl -H "Authorization: Bearer $TOKEN"`,
    ...(method === 'get' ? [] : [`-X ${method.toUpperCase()}`]),
    ...(operation.requestBody ? [`-H 'Content-Type: application/json' -d '{}'`] : []),
    address(path.replace(/^\//, '')),
  ].join(' ')
