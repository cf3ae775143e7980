{# Owner labels out of columns <prefix>team, <prefix>cost_center, ..., as a map of those
   among the chosen labels. #}
{% macro owner_label_map(prefix) -%}
    {%- set pairs = [] -%}
    {%- for name in chosen_labels() if name in owner_labels() -%}
        {%- do pairs.append((name, prefix ~ name)) -%}
    {%- endfor -%}
    {{ map_of_entries(known_entries(pairs)) }}
{%- endmacro %}

{# The value of an owner's tag in the remainder's hint, team/research; null for others. #}
{% macro hinted(owner_hint, name) -%}
    case
        when left({{ owner_hint }}, {{ name | length + 1 }}) = '{{ name | replace("'", "''") }}/'
            then substr({{ owner_hint }}, {{ name | length + 2 }})
    end
{%- endmacro %}
