{{ config(materialized='incremental') }}

{%- set keys = [
    'payer_account_id', 'usage_account_id', 'region_code', 'cluster_name', 'namespace',
    'workload_type', 'workload_name', 'deployment', 'labels',
] %}

with

daily as (

    select * from {{ ref('int_pod_costs__daily') }}

),

final as (

    select
        billing_month,
        usage_date,
        {% for key in keys %}{{ key }},
        {% endfor -%}
        {% for column in resource_hours() -%}
        {{ nearest_double('sum(' ~ column ~ ')') }} as {{ column }},
        {% endfor -%}
        {{ summed_pod_money() }}
    from daily
    group by
        billing_month,
        usage_date,
        {% for key in keys %}{{ key }}{{ ',' if not loop.last }}
        {% endfor %}

)

select * from final
