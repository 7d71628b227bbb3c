/* builtin.c - well-known chat formats by name, for models whose files have none. Static data. */
#include "api/chat/chat.h"

#include <string.h>

/* The part before the turns: messages[0] as `system`, or nothing, and the rest as `turns`. */
#define SYSTEM_APART                                                                               \
    "{%- if messages and messages[0].role == 'system' -%}"                                         \
    "{%- set system = messages[0].content -%}{%- set turns = messages[1:] -%}"                     \
    "{%- else -%}{%- set system = '' -%}{%- set turns = messages -%}{%- endif -%}"

static const struct {
    const char *name, *text;
} builtins[] = {
    {"chatml", "{%- for m in messages -%}"
               "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
               "{%- endfor -%}"
               "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"},
    {"gemma",
     SYSTEM_APART "{{ bos_token }}{%- for m in turns -%}"
                  "{%- set role = 'model' if m.role == 'assistant' else m.role -%}"
                  "{{ '<start_of_turn>' + role + '\\n' }}"
                  "{%- if loop.first and system -%}{{ system + '\\n\\n' }}{%- endif -%}"
                  "{{ m.content | trim + '<end_of_turn>\\n' }}{%- endfor -%}"
                  "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"},
    {"llama2", SYSTEM_APART
     "{%- for m in turns -%}{%- if m.role == 'user' -%}"
     "{{ bos_token + '[INST] ' }}"
     "{%- if loop.first and system -%}{{ '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' }}{%- endif "
     "-%}"
     "{{ m.content | trim + ' [/INST]' }}"
     "{%- else -%}{{ ' ' + m.content | trim + ' ' + eos_token }}{%- endif -%}{%- endfor -%}"},
    {"llama3", "{{ bos_token }}{%- for m in messages -%}"
               "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + "
               "'<|eot_id|>' }}{%- endfor -%}"
               "{%- if add_generation_prompt -%}"
               "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}"},
    {"mistral",
     SYSTEM_APART "{{ bos_token }}{%- for m in turns -%}{%- if m.role == 'user' -%}"
                  "{{ '[INST] ' }}"
                  "{%- if loop.first and system -%}{{ system + '\\n\\n' }}{%- endif -%}"
                  "{{ m.content + ' [/INST]' }}"
                  "{%- else -%}{{ ' ' + m.content + eos_token }}{%- endif -%}{%- endfor -%}"},
    {"phi3", "{%- for m in messages -%}"
             "{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{%- endfor -%}"
             "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}"},
    {"phi4",
     "{%- for m in messages -%}"
     "{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}"
     "{%- endfor -%}"
     "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant<|im_sep|>' }}{%- endif -%}"},
    {"vicuna",
     SYSTEM_APART "{%- if system -%}{{ system + '\\n\\n' }}{%- endif -%}"
                  "{%- for m in turns -%}{%- if m.role == 'user' -%}"
                  "{{ 'USER: ' + m.content + '\\n' }}"
                  "{%- else -%}{{ 'ASSISTANT: ' + m.content + eos_token + '\\n' }}{%- endif -%}"
                  "{%- endfor -%}"
                  "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"},
    {"zephyr", "{%- for m in messages -%}"
               "{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}{%- endfor -%}"
               "{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}"},
    {"alpaca",
     SYSTEM_APART "{%- if system -%}{{ system + '\\n\\n' }}{%- endif -%}"
                  "{%- for m in turns -%}{%- if m.role == 'user' -%}"
                  "{{ '### Instruction:\\n' + m.content + '\\n\\n' }}"
                  "{%- else -%}{{ '### Response:\\n' + m.content + '\\n\\n' }}{%- endif -%}"
                  "{%- endfor -%}"
                  "{%- if add_generation_prompt -%}{{ '### Response:\\n' }}{%- endif -%}"},
    {"command-r",
     "{{ bos_token }}{%- for m in messages -%}"
     "{%- set role = {'system': 'SYSTEM', 'user': 'USER', 'assistant': 'CHATBOT'}[m.role] -%}"
     "{{ '<|START_OF_TURN_TOKEN|><|' + role + '_TOKEN|>' + m.content | trim + "
     "'<|END_OF_TURN_TOKEN|>' }}{%- endfor -%}"
     "{%- if add_generation_prompt -%}"
     "{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{%- endif -%}"},
};

struct gguf_string chat_builtin(const char *name)
{
    for (size_t i = 0; i < sizeof builtins / sizeof builtins[0]; i++)
        if (strcmp(builtins[i].name, name) == 0)
            return (struct gguf_string){builtins[i].text, strlen(builtins[i].text)};
    return (struct gguf_string){NULL, 0};
}

const char *chat_builtin_names(void)
{
    return "alpaca chatml command-r gemma llama2 llama3 mistral phi3 phi4 vicuna zephyr";
}
