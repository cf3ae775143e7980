{{ config(materialized='incremental') }}

with

charges as (

    select * from {{ source('distribution', 'charges') }}

),

final as (

    select
        billing_month,
        usage_date,
        payer_account_id as bill_payer_account_id,
        usage_account_id as line_item_usage_account_id,
        region_code as product_region_code,
        cluster_name,
        namespace,
        workload_type,
        workload_name,
        deployment,
        labels,
        charge_type,
        origin,
        origin_detail,
        rule,
        {% for basis in bases() -%}
        {{ basis }}_usd,
        {% endfor -%}
        reason
    from charges

)

select * from final
