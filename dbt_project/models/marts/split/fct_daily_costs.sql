{{ config(materialized='incremental') }}

{%- set keys = [
    'payer_account_id', 'usage_account_id', 'region_code', 'cluster_name', 'namespace',
    'workload_type', 'workload_name', 'deployment',
] %}

with

pod_costs as (

    select * from {{ source('split', 'pod_costs') }}

),

labelled as (

    select
        *,
        usage_hour::date as usage_date,
        {% for name in chosen_labels() -%}
        {{ label('labels', name) }} as label_{{ loop.index }}{{ ',' if not loop.last }}
        {% endfor %}
    from pod_costs

),

summed as (

    select
        billing_month,
        usage_date,
        {% for key in keys %}{{ key }},
        {% endfor -%}
        {% for name in chosen_labels() %}label_{{ loop.index }},
        {% endfor -%}
        {{ summed_hours() }}
        {{ summed_pod_money() }}
    from labelled
    group by
        billing_month,
        usage_date,
        {% for key in keys %}{{ key }}{{ ',' if not loop.last or chosen_labels() }}
        {% endfor -%}
        {% for name in chosen_labels() %}label_{{ loop.index }}{{ ',' if not loop.last }}
        {% endfor %}

),

final as (

    select
        billing_month,
        usage_date,
        {% for key in keys %}{{ key }},
        {% endfor -%}
        {{ chosen_label_map() }} as labels,
        {% for column in resource_hours() %}{{ column }},
        {% endfor -%}
        {% for basis in bases() -%}
        {{ basis }}_split_usd,
        {{ basis }}_unused_usd,
        {{ basis }}_total_usd{{ ',' if not loop.last }}
        {% endfor %}
    from summed

)

select * from final
