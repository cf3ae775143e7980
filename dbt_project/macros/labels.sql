{# Labels that daily costs and reports keep: PODLEDGER_LABELS. In order of their names, in
   which Spark puts the keys of a map that it groups by. #}
{% macro chosen_labels() -%}
    {{ return(labels_in_use() | sort(case_sensitive=true)) }}
{%- endmacro %}

{# The chosen labels as a map, out of columns label_1, label_2, ... #}
{% macro chosen_label_map() -%}
    {%- set pairs = [] -%}
    {%- for name in chosen_labels() -%}
        {%- do pairs.append((name, 'label_' ~ loop.index)) -%}
    {%- endfor -%}
    {{ map_of_entries(known_entries(pairs)) }}
{%- endmacro %}

{# One label of a pod, out of its canonical JSON. #}
{% macro label(labels, name) %}{{ return(adapter.dispatch('label')(labels, name)) }}{% endmacro %}
{% macro default__label(labels, name) -%}
    json_extract_string({{ labels }}, '$."{{ name | replace("'", "''") }}"')
{%- endmacro %}
{% macro spark__label(labels, name) -%}
    from_json({{ labels }}, 'map<string,string>')['{{ name | replace("'", "\\'") }}']
{%- endmacro %}

{# A label whose name is in a column. #}
{% macro label_named(labels, name) %}{{ return(adapter.dispatch('label_named')(labels, name)) }}{% endmacro %}
{% macro default__label_named(labels, name) -%}
    json_extract_string({{ labels }}, '$."' || {{ name }} || '"')
{%- endmacro %}
{% macro spark__label_named(labels, name) -%}
    from_json({{ labels }}, 'map<string,string>')[{{ name }}]
{%- endmacro %}

{# Kubernetes labels as AWS spells them in tags, entries of key and value:
   app.kubernetes.io/name becomes user_app_kubernetes_io_name. #}
{% macro label_entries(labels) %}{{ return(adapter.dispatch('label_entries')(labels)) }}{% endmacro %}
{% macro default__label_entries(labels) -%}
    list_transform(
        map_entries({{ labels }}::json::map(varchar, varchar)),
        lambda entry: {
            'key': 'user_' || regexp_replace(lower(entry.key), '[^a-z0-9]', '_', 'g'),
            'value': entry.value
        }
    )
{%- endmacro %}
{% macro spark__label_entries(labels) -%}
    transform(
        map_entries(from_json({{ labels }}, 'map<string,string>')),
        entry -> named_struct(
            'key', 'user_' || regexp_replace(lower(entry.key), '[^a-z0-9]', '_'),
            'value', entry.value
        )
    )
{%- endmacro %}

{# A map of entries. Two labels may come to one name (a.b and a-b): the first stays. #}
{% macro map_of_entries(entries) %}{{ return(adapter.dispatch('map_of_entries')(entries)) }}{% endmacro %}
{% macro default__map_of_entries(entries) -%}
    map_from_entries(
        case
            when
                len(list_distinct(list_transform({{ entries }}, lambda entry: entry.key)))
                = len({{ entries }})
                then {{ entries }}
            else list_filter(
                {{ entries }},
                lambda entry, position: list_position(
                    list_transform({{ entries }}, lambda other: other.key), entry.key
                ) = position
            )
        end
    )
{%- endmacro %}
{% macro spark__map_of_entries(entries) -%}
    map_from_entries(
        filter(
            {{ entries }},
            (entry, position) -> array_position(
                transform({{ entries }}, other -> other.key), entry.key
            ) = position + 1
        )
    )
{%- endmacro %}

{# Entries of those pairs whose value is known. #}
{% macro known_entries(pairs) %}{{ return(adapter.dispatch('known_entries')(pairs)) }}{% endmacro %}
{% macro default__known_entries(pairs) -%}
    list_filter(
        [
            {% for key, value in pairs -%}
            {'key': '{{ key | replace("'", "''") }}', 'value': {{ value }}::varchar}
            {{- ',' if not loop.last }}
            {% endfor -%}
        ]::struct(key varchar, value varchar)[],
        lambda entry: entry.value is not null
    )
{%- endmacro %}
{% macro spark__known_entries(pairs) -%}
    filter(
        cast(
            array(
                {% for key, value in pairs -%}
                named_struct('key', '{{ key | replace("'", "\\'") }}', 'value', {{ value }}::string)
                {{- ',' if not loop.last }}
                {% endfor -%}
            ) as array<struct<key: string, value: string>>
        ),
        entry -> entry.value is not null
    )
{%- endmacro %}

{#- Name of the ReplicaSet or Job between a pod and its topmost controller: the pod's name
without its last part. Null where there is none, or where the name was cut short. -#}
{% macro nearest_controller() -%}
    case
        when
            workload_type in ('Deployment', 'Rollout', 'CronJob')
            and length(pod_name) > length(workload_name) + 7
            and substr(pod_name, length(pod_name) - 5, 1) = '-'
            and left(pod_name, length(workload_name) + 1) = workload_name || '-'
            then left(pod_name, length(pod_name) - 6)
    end
{%- endmacro %}

{#- What AWS's own rows call a pod's workload: the controller nearest to the pod. -#}
{% macro aws_workload_type() -%}
    case
        when nearest_controller is null then workload_type
        when workload_type = 'CronJob' then 'Job'
        else 'ReplicaSet'
    end
{%- endmacro %}
